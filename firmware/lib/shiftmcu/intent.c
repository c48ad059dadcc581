#include "intent.h"

#include <string.h>

#define NO_GAP INT64_MAX
#define RUN_MAX 65535u /* the largest hold */

/* What the slots say: Q15 probability of the best tuple, logit distance to the second. */
typedef struct {
    uint32_t probability;
    int64_t gap; /* NO_GAP: there is no second */
} best_t;

/* Product of two Q15 numbers, rounded half up. */
static uint32_t times(uint32_t a, uint32_t b)
{
    return (a * b + (1u << 14)) >> 15;
}

/* 2^(-distance / 256) in Q15; distance >= 0. */
static uint32_t exp2q(int64_t distance)
{
    const int64_t octaves = distance >> 8;
    return octaves > 15 ? 0u : (uint32_t)smcu_intent_exp2[distance & 255] >> octaves;
}

/* Softmax of one of several, Q15, from their exp2q; its own is not 0, or the others' are not. */
static uint32_t share(uint32_t own, uint32_t others)
{
    return (own << 15) / (own + others);
}

/* Index of the greatest logit (the first one), its softmax, the distance to the second. */
static uint32_t best_class(const int32_t *logits, uint32_t n, best_t *best)
{
    uint32_t first = 0;
    uint32_t others = 0;
    best->gap = NO_GAP;
    for (uint32_t i = 1; i < n; i++) {
        first = logits[i] > logits[first] ? i : first;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (i != first) {
            const int64_t distance = (int64_t)logits[first] - logits[i];
            others += exp2q(distance);
            best->gap = distance < best->gap ? distance : best->gap;
        }
    }
    best->probability = share(SMCU_INTENT_ONE, others);
    return first;
}

/* Every combination is valid: the slots are independent. */
static best_t best_by_slot(const smcu_model_t *model, const int32_t *logits, uint8_t *classes)
{
    best_t all = {SMCU_INTENT_ONE, NO_GAP};
    for (uint32_t slot = 0; slot + 1u < model->n_heads; slot++) {
        smcu_head_t head;
        best_t one;
        smcu_model_head(model, slot, &head);
        classes[slot] = (uint8_t)best_class(logits, head.n_classes, &one);
        all.probability = times(all.probability, one.probability);
        all.gap = one.gap < all.gap ? one.gap : all.gap;
        logits += head.n_classes;
    }
    return all;
}

/* Index in the logits of each slot's first class. */
static void slot_offsets(const smcu_model_t *model, uint8_t *offsets)
{
    uint32_t offset = 0;
    for (uint32_t slot = 0; slot + 1u < model->n_heads; slot++) {
        smcu_head_t head;
        smcu_model_head(model, slot, &head);
        offsets[slot] = (uint8_t)offset; /* < SMCU_MODEL_MAX_LOGITS */
        offset += head.n_classes;
    }
}

/* The best of the table of valid tuples: softmax over the sums of their logits. */
static best_t best_by_table(const smcu_model_t *model, const int32_t *logits, uint8_t *classes)
{
    const uint32_t slots = model->n_heads - 1u;
    uint8_t offsets[SMCU_MODEL_MAX_SLOTS];
    best_t best = {0, NO_GAP};
    uint32_t first = 0;
    int64_t greatest = INT64_MIN;
    uint32_t others = 0;
    slot_offsets(model, offsets);
    for (int pass = 0; pass < 2; pass++) { /* 0: the greatest sum; 1: distances to it */
        const uint8_t *tuple = smcu_model_tuple(model, 0);
        for (uint32_t i = 0; i < model->n_tuples; i++, tuple += slots) {
            int64_t sum = 0;
            for (uint32_t slot = 0; slot < slots; slot++) {
                sum += logits[offsets[slot] + tuple[slot]];
            }
            if (pass == 0) {
                first = sum > greatest ? i : first;
                greatest = sum > greatest ? sum : greatest;
            } else if (i != first) {
                const int64_t distance = greatest - sum;
                others += exp2q(distance);
                best.gap = distance < best.gap ? distance : best.gap;
            }
        }
    }
    memcpy(classes, smcu_model_tuple(model, first), slots);
    best.probability = share(SMCU_INTENT_ONE, others);
    return best;
}

void smcu_intent_best(const smcu_model_t *model, const int32_t *logits, smcu_intent_t *best)
{
    memset(best, 0, sizeof *best);
    best->n_slots = (uint8_t)(model->n_heads - 1u);
    const best_t slots = model->n_tuples > 0 ? best_by_table(model, logits, best->classes)
                                             : best_by_slot(model, logits, best->classes);
    const int32_t *command = logits + model->n_logits - 2;
    const int64_t lead = (int64_t)command[1] - command[0]; /* of command over reject */
    const uint32_t of_command = lead >= 0 ? SMCU_INTENT_ONE : exp2q(-lead);
    const uint32_t of_reject = lead >= 0 ? exp2q(lead) : SMCU_INTENT_ONE;
    const uint32_t p_command = share(of_command, of_reject);
    const uint32_t p2 = slots.gap == NO_GAP ? 0u : times(slots.probability, exp2q(slots.gap));
    best->score = (uint16_t)times(slots.probability, p_command);
    best->margin = (uint16_t)times(slots.probability - p2, p_command);
}

void smcu_intent_init(smcu_intent_state_t *state, const smcu_model_t *model, int32_t *smooth)
{
    memset(state, 0, sizeof *state);
    state->model = model;
    state->smooth = smooth;
}

static void smooth_logits(smcu_intent_state_t *state, const int32_t *logits)
{
    const uint32_t k = state->model->smooth_shift;
    for (uint32_t i = 0; i < state->model->n_logits; i++) {
        if (state->decisions == 0 || k == 0) {
            state->smooth[i] = logits[i];
        } else {
            const int64_t step = (int64_t)logits[i] - state->smooth[i];
            state->smooth[i] += (int32_t)((step + ((int64_t)1 << (k - 1u))) >> k);
        }
    }
}

/* Counts equal qualifying decisions in a row; releases the last event's tuple. */
static void count_run(smcu_intent_state_t *state, const smcu_intent_t *best, bool qualifies)
{
    if (!qualifies) {
        state->run = 0;
    } else if (state->run > 0 && memcmp(state->run_classes, best->classes, best->n_slots) == 0) {
        state->run += state->run < RUN_MAX ? 1u : 0u;
    } else {
        state->run = 1;
        memcpy(state->run_classes, best->classes, sizeof state->run_classes);
    }
    if (!qualifies || memcmp(state->last_classes, best->classes, best->n_slots) != 0) {
        state->released = true;
    }
}

bool smcu_intent_next(smcu_intent_state_t *state, const int32_t *logits, smcu_intent_t *best)
{
    const smcu_model_t *model = state->model;
    const uint32_t index = state->decisions;
    smooth_logits(state, logits);
    smcu_intent_best(model, state->smooth, best);
    state->decisions++;
    const bool qualifies = best->score >= model->threshold && best->margin >= model->min_margin;
    count_run(state, best, qualifies);
    if (!qualifies || state->run < model->hold) {
        return false;
    }
    if (state->has_last) {
        const bool too_soon = index - state->last_decision < model->cooldown;
        const bool same = memcmp(state->last_classes, best->classes, best->n_slots) == 0;
        if (too_soon || (same && !state->released)) {
            return false;
        }
    }
    state->has_last = true;
    state->released = false;
    state->last_decision = index;
    memcpy(state->last_classes, best->classes, sizeof state->last_classes);
    return true;
}

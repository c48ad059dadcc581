/* From logits to intents (docs/numerics.md, section 3): smoothing, best valid tuple, probability,
 * threshold, margin, hold and cooldown. Equal bit for bit to shiftmcu/convert/decisions.py.
 */
#ifndef SMCU_INTENT_H
#define SMCU_INTENT_H

#include "model.h"

#define SMCU_INTENT_ONE 32768u /* 1.0 in Q15 */

extern const uint16_t smcu_intent_exp2[256]; /* Q15 */

/* The best tuple of one decision. */
typedef struct {
    uint8_t n_slots;
    uint8_t classes[SMCU_MODEL_MAX_SLOTS]; /* class index per slot */
    uint16_t score;                        /* Q15, 0..32768 */
    uint16_t margin;                       /* Q15, 0..32768; lead over the runner-up */
} smcu_intent_t;

/* State of a stream between decisions. */
typedef struct {
    const smcu_model_t *model;
    int32_t *smooth;        /* (n_logits), owned by the caller */
    uint32_t decisions;     /* so far */
    uint32_t last_decision; /* index of the last event's */
    uint32_t run;           /* qualifying decisions in a row with run_classes, up to 65535 */
    uint8_t run_classes[SMCU_MODEL_MAX_SLOTS];
    uint8_t last_classes[SMCU_MODEL_MAX_SLOTS];
    bool has_last; /* there was an event */
    bool released; /* since then a decision did not qualify with its tuple */
} smcu_intent_state_t;

/* Starts a stream; `smooth` has room for n_logits values. */
void smcu_intent_init(smcu_intent_state_t *state, const smcu_model_t *model, int32_t *smooth);

/* The best tuple for logits (n_logits), as they are. */
void smcu_intent_best(const smcu_model_t *model, const int32_t *logits, smcu_intent_t *best);

/* Takes the logits (n_logits) of the next decision. True when they raise an event; `best` is filled
 * in either case, from the smoothed logits. */
bool smcu_intent_next(smcu_intent_state_t *state, const int32_t *logits, smcu_intent_t *best);

#endif

#include "standalone.h"

#ifdef SMCU_STANDALONE

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "activity.h"
#include "intent_pins.h" /* of the board's file: firmware/platform/defines.py */
#include "microphone.h"
#include "port.h"
#include "results.h"
#include "session.h"
#include "text.h"

#define PULSE_US (SMCU_INTENT_PULSE_MS * 1000u)
#define SECOND_US 1000000u
#define HOP SMCU_ACTIVITY_HOP

/* A pin, and the intent that raises it: `slot/slot/...`, `*` for any label. NULL: the intent whose
 * number is the pin's place in the list. */
typedef struct {
    uint32_t pin;
    const char *intent;
} intent_pin_t;

static const intent_pin_t pins[] = {SMCU_INTENT_PINS};
#define N_PINS (sizeof(pins) / sizeof(pins[0]))

static struct {
    bool running;
    bool high[N_PINS];
    uint32_t raised_us[N_PINS];
    smcu_activity_t activity;
    bool awake;
    smcu_standalone_count_t count;
    uint32_t since_us, slept_us; /* when the second that is counted began */
    uint32_t filled;           /* samples of the hop that is being heard: past[next] */
    uint32_t next, kept;       /* hops before it that the network did not hear */
    int16_t past[SMCU_ACTIVITY_PRE_ROLL + 1u][HOP];
} alone;

bool smcu_standalone_running(void)
{
    return alone.running;
}

const smcu_standalone_count_t *smcu_standalone_count(void)
{
    return &alone.count;
}

/* What comes now has nothing to do with what came before. */
static void start_stream(void)
{
    smcu_activity_init(&alone.activity, smcu_activity_hold(smcu_session_model()));
    alone.awake = false;
    alone.filled = 0;
    alone.kept = 0;
}

bool smcu_standalone_start(void)
{
    for (size_t i = 0; i < N_PINS; i++) {
        smcu_port_pin_start(pins[i].pin);
    }
    alone.count = (smcu_standalone_count_t){0};
    alone.since_us = smcu_port_micros();
    alone.slept_us = smcu_port_slept_us();
    start_stream();
    smcu_results_start(0, 0);
    alone.running = smcu_microphone_start();
    smcu_text(alone.running ? "listening" : "stand-alone: the microphone does not start");
    smcu_text_end();
    return alone.running;
}

void smcu_standalone_stop(void)
{
    if (!alone.running) {
        return;
    }
    alone.running = false;
    smcu_microphone_stop();
    for (size_t i = 0; i < N_PINS; i++) {
        alone.high[i] = false;
        smcu_port_pin(pins[i].pin, false);
    }
}

/* The intent's number: its place among the model's tuples; without a table, its classes as the
 * digits of a number (with one slot, the class). */
static uint32_t number_of(const smcu_model_t *model, const smcu_intent_t *intent)
{
    uint32_t number = 0;

    for (uint32_t i = 0; i < model->n_tuples; i++) {
        if (memcmp(smcu_model_tuple(model, i), intent->classes, intent->n_slots) == 0) {
            return i;
        }
    }
    for (uint32_t slot = 0; slot < intent->n_slots; slot++) {
        smcu_head_t head;

        smcu_model_head(model, slot, &head);
        number = number * head.n_classes + intent->classes[slot];
    }
    return number;
}

/* Compares a slot's label with the part of a pattern before the next '/'; moves behind that. */
static bool part_matches(const char **pattern, const char *label)
{
    const char *part = *pattern;
    size_t n = 0;

    while (part[n] != '\0' && part[n] != '/') {
        n++;
    }
    *pattern = part + n + (part[n] == '/' ? 1u : 0u);
    return (n == 1u && part[0] == '*') || (strlen(label) == n && memcmp(label, part, n) == 0);
}

static bool matches(const smcu_model_t *model, const smcu_intent_t *intent, const char *pattern)
{
    for (uint32_t slot = 0; slot < intent->n_slots; slot++) {
        if (!part_matches(&pattern, smcu_model_label(model, slot, intent->classes[slot]))) {
            return false;
        }
    }
    return *pattern == '\0';
}

static void raise_pins(const smcu_model_t *model, const smcu_intent_t *intent, uint32_t number)
{
    for (size_t i = 0; i < N_PINS; i++) {
        const char *pattern = pins[i].intent;

        if (pattern == NULL ? number == i : matches(model, intent, pattern)) {
            alone.high[i] = true;
            alone.raised_us[i] = smcu_port_micros();
            smcu_port_pin(pins[i].pin, true);
        }
    }
}

static void count_second(void)
{
    const uint32_t now_us = smcu_port_micros();

    if (now_us - alone.since_us >= SECOND_US) {
        const uint32_t slept_us = smcu_port_slept_us();

        alone.count.alone_ms += (now_us - alone.since_us) / 1000u;
        alone.count.slept_ms += (slept_us - alone.slept_us) / 1000u;
        alone.since_us = now_us;
        alone.slept_us = slept_us;
    }
}

static void end_pulses(void)
{
    const uint32_t now_us = smcu_port_micros();

    for (size_t i = 0; i < N_PINS; i++) {
        if (alone.high[i] && now_us - alone.raised_us[i] >= PULSE_US) {
            alone.high[i] = false;
            smcu_port_pin(pins[i].pin, false);
        }
    }
}

/* intent activate/lights/kitchen score=0.94 margin=0.61 number=3 */
static void print(const smcu_model_t *model, const smcu_intent_t *intent, uint32_t number)
{
    for (uint32_t slot = 0; slot < intent->n_slots; slot++) {
        smcu_text(slot == 0u ? "intent " : "/");
        smcu_text(smcu_model_label(model, slot, intent->classes[slot]));
    }
    smcu_text(" score=");
    smcu_text_q15(intent->score);
    smcu_text(" margin=");
    smcu_text_q15(intent->margin);
    smcu_text(" number=");
    smcu_text_number(number);
    smcu_text_end();
}

static void push(const int16_t *pcm, size_t n)
{
    while (n > 0) {
        smcu_result_t result;
        const size_t taken = smcu_session_push(pcm, n, &result);

        pcm += taken;
        n -= taken;
        if (result.has_event) {
            const smcu_model_t *model = smcu_session_model();
            const uint32_t number = number_of(model, &result.intent);

            raise_pins(model, &result.intent, number);
            print(model, &result.intent, number);
        }
    }
}

/* The network wakes up: a new stream, which starts a little before. */
static void wake(void)
{
    smcu_stream_reset(&smcu_stream);
    for (uint32_t ago = alone.kept; ago > 0u; ago--) {
        push(alone.past[(alone.next + SMCU_ACTIVITY_PRE_ROLL + 1u - ago) % (SMCU_ACTIVITY_PRE_ROLL + 1u)],
             HOP);
    }
    alone.kept = 0;
}

/* The hop at past[next] is whole. */
static void hop(void)
{
    const bool awake = smcu_activity_hop(&alone.activity, alone.past[alone.next]);

    if (awake && !alone.awake) {
        wake();
    }
    if (awake) {
        push(alone.past[alone.next], HOP);
        alone.count.awake_hops++;
    } else {
        alone.kept += alone.kept < SMCU_ACTIVITY_PRE_ROLL ? 1u : 0u;
        alone.next = (alone.next + 1u) % (SMCU_ACTIVITY_PRE_ROLL + 1u);
    }
    alone.awake = awake;
    alone.filled = 0;
    alone.count.heard_hops++;
}

void smcu_standalone_poll(void)
{
    uint32_t lost = 0;

    if (!alone.running) {
        return;
    }
    count_second();
    end_pulses();
    alone.filled += (uint32_t)smcu_microphone_take(alone.past[alone.next] + alone.filled,
                                                   HOP - alone.filled, &lost);
    if (lost > 0u) { /* half a command is none */
        start_stream();
        smcu_text("lost samples=");
        smcu_text_number(lost);
        smcu_text_end();
    }
    if (alone.filled == HOP) {
        hop();
    }
}

#endif

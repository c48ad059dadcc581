#include "standalone.h"

#ifdef SMCU_STANDALONE

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "intent_pins.h" /* of the board's file: firmware/platform/defines.py */
#include "microphone.h"
#include "port.h"
#include "results.h"
#include "session.h"
#include "text.h"

#define PULSE_US (SMCU_INTENT_PULSE_MS * 1000u)
#define TAKE_SAMPLES SMCU_FRONTEND_HOP

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
    uint32_t samples; /* heard so far, lost ones too, modulo 2^32 */
} alone;

bool smcu_standalone_running(void)
{
    return alone.running;
}

bool smcu_standalone_start(void)
{
    for (size_t i = 0; i < N_PINS; i++) {
        smcu_port_pin_start(pins[i].pin);
    }
    alone.samples = 0;
    smcu_results_start(0, 0);
    smcu_stream_reset(&smcu_stream);
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

static void hear(const int16_t *pcm, size_t n)
{
    while (n > 0) {
        smcu_result_t result;

        smcu_port_alive();
        smcu_port_gate(true);
        const size_t taken = smcu_stream_push(&smcu_stream, pcm, n, &result);
        smcu_port_gate(false);
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

void smcu_standalone_poll(void)
{
    int16_t pcm[TAKE_SAMPLES];
    uint32_t lost = 0;

    if (!alone.running) {
        return;
    }
    end_pulses();
    const size_t n = smcu_microphone_take(pcm, TAKE_SAMPLES, &lost);
    if (lost > 0u) { /* half a command is none: what comes is a new stream */
        smcu_stream_reset(&smcu_stream);
        smcu_text("lost samples=");
        smcu_text_number(lost);
        smcu_text_end();
    }
    alone.samples += (uint32_t)n + lost;
    hear(pcm, n);
}

#else

bool smcu_standalone_start(void)
{
    return false;
}

void smcu_standalone_stop(void)
{
}

bool smcu_standalone_running(void)
{
    return false;
}

void smcu_standalone_poll(void)
{
}

#endif

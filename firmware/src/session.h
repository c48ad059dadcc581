/* One audio stream at a time, from the host or the board's microphone: START, AUDIO, STOP, and what
 * the network says about it. */
#ifndef SMCU_SESSION_H
#define SMCU_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/model.h"
#include "stream.h"

/* Memory of the network: the built-in model's need, or more where other models may come. */
#if defined(SMCU_PUSH_ARENA_BYTES) && SMCU_PUSH_ARENA_BYTES > SMCU_MODEL_ARENA_BYTES
#define SMCU_ARENA_BYTES SMCU_PUSH_ARENA_BYTES
#else
#define SMCU_ARENA_BYTES SMCU_MODEL_ARENA_BYTES
#endif

extern smcu_stream_t smcu_stream;

/* Opens a model, which must stay where it is, and gives it the arena; no stream may run. SMCU_OK, or
 * why there will be no stream. */
smcu_status_t smcu_session_open(const void *blob, size_t n_bytes);

/* Opens the model that the firmware was built around. */
smcu_status_t smcu_session_built_in(void);

/* The model that was opened; valid when that said SMCU_OK. */
const smcu_model_t *smcu_session_model(void);

bool smcu_session_running(void);

/* Samples for the stream, up to its next decision at most, with the gate pin high: how many were
 * taken. */
size_t smcu_session_push(const int16_t *pcm, size_t n, smcu_result_t *result);

/* Forgets the running stream without a DONE, and the RULE: the model's own holds again. */
void smcu_session_abandon(void);

/* Bytes of sample data taken since START, modulo 2^32: sends it as CREDIT. */
void smcu_session_send_credit(void);

/* Takes what the microphone has heard, at most 20 ms of it. */
void smcu_session_poll(void);

/* The packets START, AUDIO, STOP, RULE and SELFTEST: each answers by itself. */
void smcu_session_start(const uint8_t *payload, size_t n);
void smcu_session_audio(const uint8_t *payload, size_t n);
void smcu_session_stop(const uint8_t *payload, size_t n);
void smcu_session_rule(const uint8_t *payload, size_t n);
void smcu_session_selftest(void);
#ifdef SMCU_ENERGY
void smcu_session_measure(const uint8_t *payload, size_t n);
#endif

#endif

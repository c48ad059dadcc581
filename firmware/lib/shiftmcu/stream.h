/* Audio in, decisions out: frontend, network and decision logic of one stream.
 *
 *     while (n > 0) {
 *         size_t taken = smcu_stream_push(&stream, pcm, n, &result);
 *         pcm += taken, n -= taken;
 *         if (result.decided) { ... }
 *     }
 *
 * Any cut of the audio into pushes gives the same results.
 */
#ifndef SMCU_STREAM_H
#define SMCU_STREAM_H

#include "frontend.h"
#include "intent.h"
#include "net.h"

/* What a push came to. */
typedef struct {
    bool decided;          /* the fields below are set */
    bool has_event;        /* the decision raised an event: `intent` is it */
    uint32_t decision;     /* index from 0 */
    uint64_t end_sample;   /* samples of the stream that the decision has seen */
    const int32_t *logits; /* (n_logits), not smoothed, heads in the model's order; valid until the
                              next push */
    smcu_intent_t intent;  /* the best tuple, of the smoothed logits */
} smcu_result_t;

/* Optional hooks; zero means off. */
typedef struct {
    uint32_t (*ticks)(void); /* a free-running counter, modulo 2^32 */
    void (*features)(void *context, const int8_t features[SMCU_FRONTEND_BINS]); /* every frame */
    void *context;
} smcu_hooks_t;

typedef struct {
    smcu_frontend_t frontend;
    smcu_net_t net;
    smcu_intent_state_t intent;
    smcu_hooks_t hooks;
    uint64_t samples; /* pushed since the start */
    uint64_t frames;  /* computed since the start */
    uint64_t frontend_ticks, network_ticks; /* sums; network includes the decision logic */
    uint32_t row; /* frames in the unfinished block */
} smcu_stream_t;

/* Bytes of arena for an opened model: the network's and 4 n_logits for smoothing. */
size_t smcu_stream_arena_bytes(const smcu_model_t *model);

/* Sets everything up and starts a stream. SMCU_ERR_FRONTEND when the model was made for other
 * features, SMCU_ERR_ARENA when the arena is too small or not aligned to 4 bytes. `hooks` may be
 * NULL and is copied. */
smcu_status_t smcu_stream_init(smcu_stream_t *stream, const smcu_model_t *model, void *arena,
                               size_t arena_bytes, const smcu_hooks_t *hooks);

/* Starts a new stream: forgets audio, history, events and ticks. */
void smcu_stream_reset(smcu_stream_t *stream);

/* Takes samples (int16, 16 kHz mono) until a decision is made or all are taken. Returns how many. */
size_t smcu_stream_push(smcu_stream_t *stream, const int16_t *pcm, size_t n_samples,
                        smcu_result_t *result);

/* Zero samples to push at the end of a stream so that its last decision is made. */
size_t smcu_stream_flush_samples(const smcu_stream_t *stream);

#endif

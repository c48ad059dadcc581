/* What the board says about a stream: EVENT, LOGITS, FEATURES, TENSOR_OUT, LAT, LAYER;
 * AUDIO_UP, LEVEL. */
#ifndef SMCU_RESULTS_H
#define SMCU_RESULTS_H

#include <stddef.h>
#include <stdint.h>

#include "stream.h"

/* Bits of START's `want`, and of HELLO_ACK's `caps`. */
#define SMCU_WANT_LOGITS 1u
#define SMCU_WANT_FEATURES 2u
#define SMCU_WANT_LAT 4u
#define SMCU_WANT_TENSOR_OUT 8u
#define SMCU_WANT_AUDIO_UP 16u /* of the board's own microphone, as is LEVEL */
#define SMCU_WANT_LEVEL 32u
#ifdef SMCU_PROFILE
#define SMCU_WANT_LAYER 64u
#else
#define SMCU_WANT_LAYER 0u
#endif
#define SMCU_WANT_ALL (15u | SMCU_WANT_LAYER)
#define SMCU_WANT_MIC 48u

/* Since the start of the stream. */
typedef struct {
    uint32_t decisions;
    uint32_t events;
} smcu_results_count_t;

void smcu_results_init(const smcu_model_t *model);

/* A new stream, and what its host wants to hear (events it hears always). */
void smcu_results_start(uint32_t stream_id, uint32_t want);

/* Samples before its end that a decision depends on, at most: so long a gap is flagged. */
uint32_t smcu_results_look_back(void);

/* The samples before index gap_end hold some that were lost. */
void smcu_results_gap(uint32_t gap_end);

/* The stream's hook for every frame of features. */
void smcu_results_features(void *context, const int8_t features[SMCU_FRONTEND_BINS]);

/* Sends what is wanted about one decision. */
void smcu_results_send(const smcu_result_t *result);

/* Samples that the board's microphone heard, the first of them with this index: sent up, measured,
 * as far as wanted; `lost` is told with the level. */
void smcu_results_heard(uint32_t first_sample, const int16_t *pcm, size_t n, uint32_t lost);

const smcu_results_count_t *smcu_results_count(void);

#endif

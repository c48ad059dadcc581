/* Log-mel features of 16 kHz audio, in integers (docs/numerics.md, section 1).
 *
 * Every 320 samples (20 ms) a window of 512 samples becomes one frame of 40 features:
 *
 *     feature[b] = clamp(6 log2(band energy b) - offset - 128, -128, 127)
 *
 * Six steps per octave of power (0.5 dB each); -128 is silence. Equal bit for bit to
 * shiftmcu/frontend.py for all samples. A frame depends on its own 512 samples only, so any cut of
 * the stream into chunks gives the same frames.
 */
#ifndef SMCU_FRONTEND_H
#define SMCU_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SMCU_FRONTEND_BINS 40          /* features per frame */
#define SMCU_FRONTEND_WINDOW 512       /* samples per frame */
#define SMCU_FRONTEND_HOP 320          /* samples from frame to frame */
#define SMCU_FRONTEND_SCRATCH_WORDS 256 /* uint32 of working memory, free between calls */

/* The window being filled; owned by the caller, opaque to it. */
typedef struct {
    int16_t samples[SMCU_FRONTEND_WINDOW];
    uint16_t filled; /* samples present, 0..512 */
} smcu_frontend_t;

/* Starts a stream: forgets all samples. */
void smcu_frontend_init(smcu_frontend_t *fe);

/* Takes samples for the next frame, at most n_samples (int16, 16 kHz mono) and never more than the
 * frame needs. Returns how many it took: 0 when a frame is ready and must be taken first. */
size_t smcu_frontend_feed(smcu_frontend_t *fe, const int16_t *pcm, size_t n_samples);

/* True when a frame is complete. */
bool smcu_frontend_ready(const smcu_frontend_t *fe);

/* Computes the frame that is ready, then moves on by one hop.
 * Precondition: smcu_frontend_ready(fe). */
void smcu_frontend_take(smcu_frontend_t *fe, uint32_t scratch[SMCU_FRONTEND_SCRATCH_WORDS],
                        int8_t features[SMCU_FRONTEND_BINS]);

/* The same for 512 samples anywhere; reads and writes its arguments only. */
void smcu_frontend_frame(const int16_t samples[SMCU_FRONTEND_WINDOW],
                         uint32_t scratch[SMCU_FRONTEND_SCRATCH_WORDS],
                         int8_t features[SMCU_FRONTEND_BINS]);

#endif

/* The board's microphone: half-buffers of its DMA in, 16 kHz samples out, in order, losses counted.
 * Only where the port has one (SMCU_MIC); elsewhere it never starts. */
#ifndef SMCU_MICROPHONE_H
#define SMCU_MICROPHONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Samples that can wait while the network computes, 128 ms; a power of two. */
#define SMCU_MICROPHONE_RING 2048u

/* "i2s", "pdm", or "none". */
const char *smcu_microphone_kind(void);

/* Starts to listen; false: there is no microphone, or it does not answer. */
bool smcu_microphone_start(void);

void smcu_microphone_stop(void);

/* True when smcu_microphone_take has something to tell. */
bool smcu_microphone_ready(void);

/* Takes up to n samples, in order. Returns how many; or 0 and sets `lost` to the number of samples
 * that are missing at this place (the ring was full). */
size_t smcu_microphone_take(int16_t *pcm, size_t n, uint32_t *lost);

/* The port's side, from its interrupt: half of the DMA buffer is filled (whole samples). */
void smcu_microphone_half(const void *half, size_t bytes);

/* The port's side: samples that never came into a buffer. */
void smcu_microphone_lose(uint32_t samples);

#endif

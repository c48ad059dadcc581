/* What a microphone's DMA leaves in memory, to 16 kHz int16 samples (docs/microphone.md).
 *
 *     I2S words or PDM bits -> 24-bit samples -> DC block -> gain -> int16, rounded and saturated
 *
 * Equal bit for bit to shiftmcu/microphone.py, however the audio is cut into buffers.
 */
#ifndef SMCU_MIC_H
#define SMCU_MIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pdm.h"

typedef enum { SMCU_MIC_I2S, SMCU_MIC_PDM } smcu_mic_kind_t;

/* How the samples lie in memory. I2S: 32-bit words, 24 bits from the top, one word per channel.
 * PDM: the first bit in time is the top bit of its byte. */
typedef struct {
    smcu_mic_kind_t kind;
    uint8_t channels;    /* I2S: words per sample: 1, or 2 where left and right both come */
    uint8_t channel;     /* I2S: the word to take, 0 or 1 */
    bool halves_swapped; /* 16-bit DMA of a big-endian line: I2S: upper half of a word first;
                            PDM: the second byte of two first */
    uint8_t gain_shift;  /* amplification in steps of 6 dB, 0..8 */
} smcu_mic_config_t;

/* Owned by the caller, opaque to it. */
typedef struct {
    smcu_mic_config_t config;
    int32_t mean; /* 2^7 times the DC estimate */
    smcu_pdm_t pdm;
} smcu_mic_t;

/* Starts a stream. `config` is copied. */
void smcu_mic_init(smcu_mic_t *mic, const smcu_mic_config_t *config);

/* Bytes of DMA buffer per sample: 8 with PDM, 4 or 8 with I2S. */
size_t smcu_mic_sample_bytes(const smcu_mic_config_t *config);

/* Converts n_samples from `buffer` (smcu_mic_sample_bytes each, aligned to 4 bytes). */
void smcu_mic_convert(smcu_mic_t *mic, const void *buffer, size_t n_samples, int16_t *pcm);

#endif

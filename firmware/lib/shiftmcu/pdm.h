/* From a PDM microphone's bits to samples (docs/microphone.md), in integers.
 *
 *     64 one-bit samples at 1.024 MHz -> CIC^4 / 16 -> half-band / 2 -> FIR / 2 -> one at 16 kHz
 *
 * Equal bit for bit to shiftmcu/pdm.py for any bits, however they are cut into blocks.
 */
#ifndef SMCU_PDM_H
#define SMCU_PDM_H

#include <stddef.h>
#include <stdint.h>

#define SMCU_PDM_BYTES 8 /* of bits per sample */
#define SMCU_PDM_BLOCK 8 /* samples computed at a time */

extern const int16_t smcu_pdm_cic[8 * 256];
extern const int16_t smcu_pdm_half_band[4];
extern const int16_t smcu_pdm_compensation[54];

/* Each stage: what it still needs of the past, then room for a block. Opaque to its owner. */
typedef struct {
    uint8_t bits[6 + SMCU_PDM_BYTES * SMCU_PDM_BLOCK];
    int32_t first[14 + 4 * SMCU_PDM_BLOCK];  /* 64 kHz, -2^15..2^15 */
    int32_t second[106 + 2 * SMCU_PDM_BLOCK]; /* 32 kHz, 2^15 is full scale, |.| < 1.31 2^15 */
} smcu_pdm_t;

/* Starts a stream: silence came before it. */
void smcu_pdm_init(smcu_pdm_t *pdm);

/* Decimates n_samples * 8 bytes of bits, the first in time in the top bit; 1 is +full scale.
 * `samples`: n_samples of 24 bits; 2^23 is full scale, |.| < 2.21 2^23. */
void smcu_pdm_decimate(smcu_pdm_t *pdm, const uint8_t *bits, size_t n_samples, int32_t *samples);

#endif

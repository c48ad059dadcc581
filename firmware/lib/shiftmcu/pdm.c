/* The CIC filter is its 61 weights, looked up a byte of bits at a time: exact, without the eight
 * additions per bit of integrators. The sums of the last filter stay below 1.11 2^30: the sum of
 * |weights| of all three filters together, for any bits. */
#include "pdm.h"

#include <string.h>

#define BITS_PAST 6
#define FIRST_PAST 14
#define SECOND_PAST 106
#define IDLE 0x55u /* alternating bits are silence */
#define HALF_BAND_PAIRS 4
#define MIDDLE 53 /* of the last filter's 107 weights */

void smcu_pdm_init(smcu_pdm_t *pdm)
{
    memset(pdm, 0, sizeof *pdm);
    memset(pdm->bits, (int)IDLE, BITS_PAST);
}

/* The CIC's output after the 8 bytes at `bits`. */
static int32_t cic(const uint8_t *bits)
{
    int32_t sum = -(1 << 15);
    for (size_t k = 0; k < 8; k++) {
        sum += smcu_pdm_cic[256u * k + bits[k]];
    }
    return sum;
}

/* Over the 15 values at `x`; every other weight is zero. */
static int32_t half_band(const int32_t *x)
{
    int32_t sum = 8192 * x[7] + (1 << 13);
    for (size_t k = 0; k < HALF_BAND_PAIRS; k++) {
        sum += smcu_pdm_half_band[k] * (x[2u * k] + x[14u - 2u * k]);
    }
    return sum >> 14;
}

/* Over the 107 values at `x`. */
static int32_t compensation(const int32_t *x)
{
    int32_t sum = smcu_pdm_compensation[MIDDLE] * x[MIDDLE] + (1 << 5);
    for (size_t k = 0; k < MIDDLE; k++) {
        sum += smcu_pdm_compensation[k] * (x[k] + x[2u * MIDDLE - k]);
    }
    return sum >> 6;
}

/* At most SMCU_PDM_BLOCK samples. */
static void block(smcu_pdm_t *pdm, const uint8_t *bits, size_t n, int32_t *samples)
{
    memcpy(pdm->bits + BITS_PAST, bits, SMCU_PDM_BYTES * n);
    for (size_t i = 0; i < 4u * n; i++) {
        pdm->first[FIRST_PAST + i] = cic(pdm->bits + 2u * i);
    }
    for (size_t i = 0; i < 2u * n; i++) {
        pdm->second[SECOND_PAST + i] = half_band(pdm->first + 2u * i + 1u);
    }
    for (size_t i = 0; i < n; i++) {
        samples[i] = compensation(pdm->second + 2u * i + 1u);
    }
    memmove(pdm->bits, pdm->bits + SMCU_PDM_BYTES * n, BITS_PAST);
    memmove(pdm->first, pdm->first + 4u * n, FIRST_PAST * sizeof pdm->first[0]);
    memmove(pdm->second, pdm->second + 2u * n, SECOND_PAST * sizeof pdm->second[0]);
}

void smcu_pdm_decimate(smcu_pdm_t *pdm, const uint8_t *bits, size_t n_samples, int32_t *samples)
{
    while (n_samples > 0) {
        const size_t n = n_samples < SMCU_PDM_BLOCK ? n_samples : SMCU_PDM_BLOCK;
        block(pdm, bits, n, samples);
        bits += SMCU_PDM_BYTES * n;
        samples += n;
        n_samples -= n;
    }
}

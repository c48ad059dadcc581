/* The spectrum behind frontend.c (docs/numerics.md, section 1, steps 3 and 4); private to it.
 *
 * Blocks are 256 complex words, re | im << 16, int16 each.
 */
#ifndef SMCU_FFT_H
#define SMCU_FFT_H

#include <stdint.h>

#define SMCU_FFT_POINTS 256

/* Bits that differ from their right neighbour, in both halves: the highest one marks the magnitude
 * max(x, -x - 1). Bit 16 is wrong, which nobody reads. */
static inline uint32_t smcu_fft_mark(uint32_t word)
{
    return word ^ (word << 1);
}

/* Stages 2 to 4, in place; `bits` are the magnitude bits of all words, or-ed. Returns the sum of the
 * stages' shifts, 0..9. */
int32_t smcu_fft_run(uint32_t z[SMCU_FFT_POINTS], uint32_t bits);

/* From the FFT of pairs to the power of bin k of the real signal in word k, 1..255, below 2^31; in
 * place. Word 0 is left as it is. */
void smcu_fft_power(uint32_t z[SMCU_FFT_POINTS]);

#endif

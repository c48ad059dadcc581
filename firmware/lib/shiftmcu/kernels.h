/* Inner loops of conv.c: exact sums of w * x over the taps of one or two output channels.
 *
 * `table` gives the weight of a code as a word; x are words of two 16-bit lanes (positions t and
 * t + half) or single activations. A word is linear modulo 2^32, so a lane may overflow on the way;
 * it is right when its final value fits int16. So lanes are added to 32-bit sums every `run` taps,
 * with run * max|w| <= SMCU_KERNELS_LANE_SUM.
 */
#ifndef SMCU_KERNELS_H
#define SMCU_KERNELS_H

#include <stdint.h>

#define SMCU_KERNELS_LANE_SUM 128u /* 255 * 128 = 32640 <= 32767 */
#define SMCU_KERNELS_GROUP 8u      /* codes that start and end on a byte; divides every run */

/* What the kernels with two lanes read. */
typedef struct {
    const uint32_t *table;   /* weight by code */
    const uint8_t *codes[2]; /* of two output channels, packed */
    uint32_t bits;           /* per code: 2 or 3 */
    uint32_t taps;           /* per channel */
    uint32_t run;            /* taps between unpacking, a multiple of the group */
} smcu_kernels_weights_t;

/* One word column: sums[channel][lane]. */
void smcu_kernels_lanes_1(const smcu_kernels_weights_t *weights, const uint32_t *x,
                          int32_t sums[2][2]);

/* Two word columns, `step` words apart: sums[2 * channel + column][lane]. */
void smcu_kernels_lanes_2(const smcu_kernels_weights_t *weights, const uint32_t *x, uint32_t step,
                          int32_t sums[4][2]);

/* The lanes are the two channels, x is one position; here `table` holds, for every two codes,
 * w[low bits] + w[high bits] * 2^16. sums[channel]. */
void smcu_kernels_pair(const smcu_kernels_weights_t *weights, const uint8_t *x, int32_t sums[2]);

/* No lanes: one channel of 4-bit codes, one position, any number of taps. */
int32_t smcu_kernels_wide(const uint32_t *table, const uint8_t *codes, const uint8_t *x,
                          uint32_t taps);

/* The same for int8 weights, with multiplications. */
int32_t smcu_kernels_int8(const uint8_t *codes, const uint8_t *x, uint32_t taps);

#endif

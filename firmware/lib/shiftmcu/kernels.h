/* Inner loops of conv.c: sums of w * x over consecutive taps of two output channels.
 *
 * `table` gives the weight of a code as a word; x are words of two lanes (positions t and t + half)
 * or single activations. Words wrap modulo 2^32: a lane is right when its final value fits
 * int16, which holds for SMCU_KERNELS_LANE_SUM / max|w| taps.
 */
#ifndef SMCU_KERNELS_H
#define SMCU_KERNELS_H

#include <stdint.h>

#define SMCU_KERNELS_LANE_SUM 128u /* 255 * 128 = 32640 <= 32767 */
#define SMCU_KERNELS_GROUP 8u      /* codes that start and end on a byte, for 2, 3 and 4 bits */

/* Two lanes, two channels, one word column: sums[0], sums[1]. */
void smcu_kernels_lanes_1(uint32_t bits, const uint32_t *table, const uint8_t *const codes[2],
                          const uint32_t *x, uint32_t taps, uint32_t sums[2]);

/* Two lanes, two channels, two word columns `step` words apart: sums[channel * 2 + column]. */
void smcu_kernels_lanes_2(uint32_t bits, const uint32_t *table, const uint8_t *const codes[2],
                          const uint32_t *x, uint32_t step, uint32_t taps, uint32_t sums[4]);

/* Two channels in the lanes, one position; `table` holds w[low bits] + w[high bits] * 2^16. */
uint32_t smcu_kernels_pair(uint32_t bits, const uint32_t *table, const uint8_t *const codes[2],
                           const uint8_t *x, uint32_t taps);

/* No lanes: one channel of 4-bit codes, one position, any number of taps. */
int32_t smcu_kernels_wide(const int16_t *table, const uint8_t *codes, const uint8_t *x,
                          uint32_t taps);

#endif

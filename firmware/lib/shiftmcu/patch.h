/* The input that one output of a 2-D convolution sees (docs/numerics.md, section 2), in the order of
 * its codes: kernel rows, columns, channels. Columns outside the plane are 0.
 */
#ifndef SMCU_PATCH_H
#define SMCU_PATCH_H

#include "conv.h"

/* Writes smcu_model_taps bytes; `output` is position * out_width + column. */
void smcu_patch_bytes(const smcu_conv_t *conv, uint32_t output, uint8_t *bytes);

#endif

/* Convolution of one block (docs/numerics.md, section 2), dense layers included:
 *
 *     acc = bias + sum(w u)      v = (acc mult + u_res residual_mult + 2^(shift-1)) >> shift
 *
 * Weights stay packed; a kernel decodes a code through a table and multiplies a 32-bit word that
 * carries two 16-bit sums: two positions (in 2-D also two columns of one), or two output channels
 * when the block has one position.
 */
#ifndef SMCU_CONV_H
#define SMCU_CONV_H

#include "model.h"

typedef struct {
    const smcu_layer_t *layer; /* a SMCU_OP_CONV of an opened model */
    const uint8_t *in;         /* first row of position 0: kernel + (positions - 1) stride rows of
                                * (in_width, c_in) */
    uint32_t positions;        /* >= 1 */
    const uint8_t *residual;   /* (positions, out_width, c_out), or NULL */
    uint8_t *out;              /* (positions, out_width, c_out) of 0..255, or NULL for logits */
    int32_t *logits;           /* (c_out), one position, or NULL for activations */
    uint32_t *scratch;         /* smcu_conv_scratch_words */
} smcu_conv_t;

/* uint32 of scratch for a layer that makes `positions` positions per block. */
uint32_t smcu_conv_scratch_words(const smcu_layer_t *layer, uint32_t positions);

/* Computes all positions, columns and channels of the block. */
void smcu_conv_run(const smcu_conv_t *conv);

#endif

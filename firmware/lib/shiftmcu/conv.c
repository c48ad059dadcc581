#include "conv.h"

#include "bytes.h"
#include "kernels.h"
#include "model_layout.h"

enum { MAX_COLUMNS = 2, CHANNELS = 2 };

/* Alphabets of 4 bits and int8 have weights too large for 16-bit sums. */
static bool has_lanes(const smcu_layer_t *layer)
{
    return layer->alphabet->bits < 4;
}

static inline uint32_t word_of(int32_t weight)
{
    return (uint32_t)weight;
}

/* Words of lanes: word column j carries positions j and j + half. */
static uint32_t half_of(uint32_t positions)
{
    return (positions + 1u) / 2u;
}

uint32_t smcu_conv_scratch_words(const smcu_layer_t *layer, uint32_t positions)
{
    if (!has_lanes(layer)) {
        return 0;
    }
    if (positions == 1) {
        return 1u << (2u * layer->alphabet->bits);
    }
    return (layer->kernel + (half_of(positions) - 1u) * layer->stride) * layer->c_in;
}

/* Requantizes one sum and stores it. */
static void finish(const smcu_conv_t *conv, uint32_t channel, uint32_t position, int32_t sum)
{
    const smcu_layer_t *layer = conv->layer;
    const uint8_t *p = layer->parameters + channel * PARAMETER_BYTES;
    const uint32_t shift = p[PARAMETER_SHIFT];
    const uint32_t at = position * layer->c_out + channel;
    const int32_t acc = sum + smcu_bytes_i32(p + PARAMETER_BIAS);
    int32_t v = acc * (int32_t)smcu_bytes_u16(p + PARAMETER_MULT);
    if (conv->residual != NULL) {
        v += conv->residual[at] * smcu_bytes_i32(layer->residual_mult + 4u * channel);
    }
    v = (v + ((int32_t)1 << (shift - 1u))) >> shift;
    if (conv->logits != NULL) {
        conv->logits[channel] = v;
    } else {
        conv->out[at] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}

/* Packs the rows of two halves of the positions into words. A row that only the position behind
 * the last one would read (odd number of positions) is zero. */
static void pack_lanes(const smcu_conv_t *conv)
{
    const smcu_layer_t *layer = conv->layer;
    const uint32_t half = half_of(conv->positions);
    const uint32_t words = smcu_conv_scratch_words(layer, conv->positions);
    const uint32_t offset = half * layer->stride * layer->c_in;
    const uint32_t rows = layer->kernel + (conv->positions - 1u) * layer->stride;
    const uint32_t present = rows * layer->c_in - offset;
    const uint32_t both = words < present ? words : present;
    for (uint32_t i = 0; i < both; i++) {
        conv->scratch[i] = conv->in[i] | (uint32_t)conv->in[i + offset] << 16;
    }
    for (uint32_t i = both; i < words; i++) {
        conv->scratch[i] = conv->in[i];
    }
}

/* Weight of every code. */
static void fill_table(const smcu_alphabet_t *alphabet, uint32_t table[SMCU_ALPHABET_CODES])
{
    for (uint32_t i = 0; i < SMCU_ALPHABET_CODES; i++) {
        table[i] = word_of(alphabet->weight[i]);
    }
}

/* The packed weights of `channel` and the next one; of the last one twice when there is no next. */
static smcu_kernels_weights_t weights_of(const smcu_layer_t *layer, uint32_t channel,
                                         const uint32_t *table)
{
    smcu_kernels_weights_t weights;
    const uint32_t taps = (uint32_t)layer->kernel * layer->c_in;
    const uint32_t channel_bytes = smcu_alphabet_channel_bytes(layer->alphabet, taps);
    weights.table = table;
    weights.codes[0] = layer->codes + channel * channel_bytes;
    weights.codes[1] = weights.codes[0] + (channel + 1u < layer->c_out ? channel_bytes : 0u);
    weights.bits = layer->alphabet->bits;
    weights.taps = taps;
    weights.run = SMCU_KERNELS_LANE_SUM / layer->alphabet->max_abs;
    return weights;
}

/* Two positions per word. */
static void run_lanes(const smcu_conv_t *conv)
{
    const smcu_layer_t *layer = conv->layer;
    const uint32_t half = half_of(conv->positions);
    const uint32_t step = (uint32_t)layer->stride * layer->c_in;
    uint32_t table[SMCU_ALPHABET_CODES];
    fill_table(layer->alphabet, table);
    pack_lanes(conv);
    for (uint32_t channel = 0; channel < layer->c_out; channel += CHANNELS) {
        const uint32_t channels = channel + 1u < layer->c_out ? CHANNELS : 1u;
        const smcu_kernels_weights_t weights = weights_of(layer, channel, table);
        for (uint32_t column = 0; column < half; column += MAX_COLUMNS) {
            const uint32_t columns = column + 1u < half ? MAX_COLUMNS : 1u;
            const uint32_t *x = conv->scratch + column * step;
            int32_t sums[CHANNELS * MAX_COLUMNS][2] = {{0}};
            if (columns == 1) {
                smcu_kernels_lanes_1(&weights, x, sums);
            } else {
                smcu_kernels_lanes_2(&weights, x, step, sums);
            }
            for (uint32_t i = 0; i < channels * columns; i++) {
                const uint32_t position = column + i % columns;
                finish(conv, channel + i / columns, position, sums[i][0]);
                if (position + half < conv->positions) {
                    finish(conv, channel + i / columns, position + half, sums[i][1]);
                }
            }
        }
    }
}

/* Weights of two channels in one word, for every pair of codes. */
static void fill_pair_table(const smcu_alphabet_t *alphabet, uint32_t *table)
{
    const uint32_t codes = 1u << alphabet->bits;
    for (uint32_t high = 0; high < codes; high++) {
        const uint32_t upper = word_of(alphabet->weight[high]) << 16;
        for (uint32_t low = 0; low < codes; low++) {
            *table++ = upper + word_of(alphabet->weight[low]);
        }
    }
}

/* One position: two channels per word. */
static void run_pairs(const smcu_conv_t *conv)
{
    const smcu_layer_t *layer = conv->layer;
    fill_pair_table(layer->alphabet, conv->scratch);
    for (uint32_t channel = 0; channel < layer->c_out; channel += CHANNELS) {
        const smcu_kernels_weights_t weights = weights_of(layer, channel, conv->scratch);
        int32_t sums[CHANNELS] = {0, 0};
        smcu_kernels_pair(&weights, conv->in, sums);
        finish(conv, channel, 0, sums[0]);
        if (channel + 1u < layer->c_out) {
            finish(conv, channel + 1u, 0, sums[1]);
        }
    }
}

/* 32-bit sums, one channel and position after the other. */
static void run_wide(const smcu_conv_t *conv)
{
    const smcu_layer_t *layer = conv->layer;
    const uint32_t taps = (uint32_t)layer->kernel * layer->c_in;
    const uint32_t channel_bytes = smcu_alphabet_channel_bytes(layer->alphabet, taps);
    const uint32_t step = (uint32_t)layer->stride * layer->c_in;
    const bool multiplies = layer->alphabet->bits == 8;
    uint32_t table[SMCU_ALPHABET_CODES];
    fill_table(layer->alphabet, table);
    for (uint32_t channel = 0; channel < layer->c_out; channel++) {
        const uint8_t *codes = layer->codes + channel * channel_bytes;
        for (uint32_t position = 0; position < conv->positions; position++) {
            const uint8_t *x = conv->in + position * step;
            finish(conv, channel, position,
                   multiplies ? smcu_kernels_int8(codes, x, taps)
                              : smcu_kernels_wide(table, codes, x, taps));
        }
    }
}

void smcu_conv_run(const smcu_conv_t *conv)
{
    if (!has_lanes(conv->layer)) {
        run_wide(conv);
    } else if (conv->positions == 1) {
        run_pairs(conv);
    } else {
        run_lanes(conv);
    }
}

#include "conv.h"

#include "bytes.h"
#include "kernels.h"
#include "model_layout.h"

enum { MAX_COLUMNS = 2, CHANNELS = 2 };

/* 4-bit alphabets have weights too large for 16-bit sums. */
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

/* Adds both lanes of a word, each an int16, to two sums. */
static inline void unpack(uint32_t word, int32_t *low, int32_t *high)
{
    const int32_t first = (int16_t)(uint16_t)word;
    *low += first;
    *high += (int16_t)(uint16_t)((word - (uint32_t)first) >> 16);
}

/* Two channels, `columns` word columns from `column` on, all taps. */
static void run_columns(const smcu_conv_t *conv, const uint32_t *table,
                        const uint8_t *const codes[CHANNELS], uint32_t column, uint32_t columns,
                        int32_t sums[CHANNELS * MAX_COLUMNS][2])
{
    const smcu_layer_t *layer = conv->layer;
    const uint32_t bits = layer->alphabet->bits;
    const uint32_t most = SMCU_KERNELS_LANE_SUM / layer->alphabet->max_abs;
    const uint32_t step = (uint32_t)layer->stride * layer->c_in;
    const uint32_t all = (uint32_t)layer->kernel * layer->c_in;
    uint32_t words[CHANNELS * MAX_COLUMNS];
    for (uint32_t done = 0; done < all; done += most) { /* `most` is a multiple of a group */
        const uint32_t taps = all - done < most ? all - done : most;
        const uint8_t *const next[CHANNELS] = {codes[0] + done * bits / 8u,
                                               codes[1] + done * bits / 8u};
        const uint32_t *x = conv->scratch + column * step + done;
        if (columns == 2) {
            smcu_kernels_lanes_2(bits, table, next, x, step, taps, words);
        } else {
            smcu_kernels_lanes_1(bits, table, next, x, taps, words);
        }
        for (uint32_t i = 0; i < CHANNELS * columns; i++) {
            unpack(words[i], &sums[i][0], &sums[i][1]);
        }
    }
}

/* Two positions per word. */
static void run_lanes(const smcu_conv_t *conv)
{
    const smcu_layer_t *layer = conv->layer;
    const uint32_t c_out = layer->c_out;
    const uint32_t half = half_of(conv->positions);
    const uint32_t channel_bytes =
        smcu_alphabet_channel_bytes(layer->alphabet, (uint32_t)layer->kernel * layer->c_in);
    uint32_t table[8];
    for (uint32_t i = 0; i < 8; i++) {
        table[i] = word_of(layer->alphabet->weight[i]);
    }
    pack_lanes(conv);
    for (uint32_t channel = 0; channel < c_out; channel += CHANNELS) {
        const uint32_t channels = c_out - channel < CHANNELS ? 1u : CHANNELS;
        const uint8_t *first = layer->codes + channel * channel_bytes;
        const uint8_t *const codes[CHANNELS] = {first, first + (channels - 1u) * channel_bytes};
        for (uint32_t column = 0; column < half; column += MAX_COLUMNS) {
            const uint32_t columns = half - column < MAX_COLUMNS ? 1u : MAX_COLUMNS;
            int32_t sums[CHANNELS * MAX_COLUMNS][2] = {{0}};
            run_columns(conv, table, codes, column, columns, sums);
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
    const uint32_t bits = layer->alphabet->bits;
    const uint32_t most = SMCU_KERNELS_LANE_SUM / layer->alphabet->max_abs;
    const uint32_t all = (uint32_t)layer->kernel * layer->c_in;
    const uint32_t channel_bytes = smcu_alphabet_channel_bytes(layer->alphabet, all);
    fill_pair_table(layer->alphabet, conv->scratch);
    for (uint32_t channel = 0; channel < layer->c_out; channel += CHANNELS) {
        const uint32_t channels = layer->c_out - channel < CHANNELS ? 1u : CHANNELS;
        const uint8_t *first = layer->codes + channel * channel_bytes;
        const uint8_t *second = first + (channels - 1u) * channel_bytes;
        int32_t sums[CHANNELS] = {0, 0};
        for (uint32_t done = 0; done < all; done += most) {
            const uint32_t taps = all - done < most ? all - done : most;
            const uint8_t *const codes[CHANNELS] = {first + done * bits / 8u,
                                                    second + done * bits / 8u};
            unpack(smcu_kernels_pair(bits, conv->scratch, codes, conv->in + done, taps), &sums[0],
                   &sums[1]);
        }
        for (uint32_t i = 0; i < channels; i++) {
            finish(conv, channel + i, 0, sums[i]);
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
    for (uint32_t channel = 0; channel < layer->c_out; channel++) {
        const uint8_t *codes = layer->codes + channel * channel_bytes;
        for (uint32_t position = 0; position < conv->positions; position++) {
            const uint8_t *x = conv->in + position * step;
            finish(conv, channel, position,
                   smcu_kernels_wide(layer->alphabet->weight, codes, x, taps));
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

#include "conv.h"

#include "bytes.h"
#include "kernels.h"
#include "model_layout.h"
#include "patch.h"

enum { MAX_COLUMNS = 2, CHANNELS = 2, LANES = 2 };

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
    if (smcu_model_is_plane(layer)) {
        const uint32_t taps = smcu_model_taps(layer);
        const uint32_t outputs = positions * smcu_model_out_width(layer);
        const uint32_t columns = outputs > LANES ? MAX_COLUMNS : 1u;
        return has_lanes(layer) ? columns * taps + (LANES * taps + 3u) / 4u : (taps + 3u) / 4u;
    }
    if (!has_lanes(layer)) {
        return 0;
    }
    if (positions == 1) {
        return 1u << (2u * layer->alphabet->bits);
    }
    return (layer->kernel + (half_of(positions) - 1u) * layer->stride) * layer->c_in;
}

/* Requantizes one sum and stores it; `output` is position * out_width + column. */
static void finish(const smcu_conv_t *conv, uint32_t channel, uint32_t output, int32_t sum)
{
    const smcu_layer_t *layer = conv->layer;
    const uint8_t *p = layer->parameters + channel * PARAMETER_BYTES;
    const uint32_t shift = p[PARAMETER_SHIFT];
    const uint32_t at = output * layer->c_out + channel;
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

static void pack(uint32_t *words, const uint8_t *low, const uint8_t *high, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        words[i] = low[i] | (uint32_t)high[i] << 16;
    }
}

/* One dimension: packs the rows of two halves of the positions into words. A row that only the
 * position behind the last one would read (odd number of positions) is zero. */
static void pack_lanes(const smcu_conv_t *conv)
{
    const smcu_layer_t *layer = conv->layer;
    const uint32_t half = half_of(conv->positions);
    const uint32_t words = smcu_conv_scratch_words(layer, conv->positions);
    const uint32_t offset = half * layer->stride * layer->c_in;
    const uint32_t rows = layer->kernel + (conv->positions - 1u) * layer->stride;
    const uint32_t present = rows * layer->c_in - offset;
    const uint32_t both = words < present ? words : present;
    pack(conv->scratch, conv->in, conv->in + offset, both);
    for (uint32_t i = both; i < words; i++) {
        conv->scratch[i] = conv->in[i];
    }
}

/* Two dimensions: packs the patches of one word column, two outputs `lane_step` apart. The last
 * output stands in for one behind it. */
static void pack_patches(const smcu_conv_t *conv, uint32_t first, uint32_t lane_step, uint32_t last,
                         uint32_t *words, uint8_t *bytes)
{
    const uint32_t taps = smcu_model_taps(conv->layer);
    const uint32_t second = first + lane_step;
    smcu_patch_bytes(conv, first, bytes);
    smcu_patch_bytes(conv, second < last ? second : last, bytes + taps);
    pack(words, bytes, bytes + taps, taps);
}

/* Weight of every code; int8 has no table. */
static void fill_table(const smcu_alphabet_t *alphabet, uint32_t table[SMCU_ALPHABET_CODES])
{
    const uint32_t half = alphabet->bits == 8 ? 0 : 1u << (alphabet->bits - 1u);
    for (uint32_t i = 0; i < half; i++) {
        const int32_t magnitude = alphabet->magnitude[i];
        table[i] = word_of(magnitude);
        table[half + i] = word_of(-magnitude);
    }
}

/* The packed weights of a layer; select_channels chooses which. */
static smcu_kernels_weights_t weights_of(const smcu_layer_t *layer, const uint32_t *table)
{
    smcu_kernels_weights_t weights;
    weights.table = table;
    weights.bits = layer->alphabet->bits;
    weights.taps = smcu_model_taps(layer);
    weights.run = SMCU_KERNELS_LANE_SUM / layer->alphabet->max_abs;
    return weights;
}

/* The weights of `channel` and the next one; of the last one twice when there is no next. */
static void select_channels(smcu_kernels_weights_t *weights, const smcu_layer_t *layer,
                            uint32_t channel)
{
    const uint32_t channel_bytes = smcu_alphabet_channel_bytes(layer->alphabet, weights->taps);
    weights->codes[0] = layer->codes + channel * channel_bytes;
    weights->codes[1] = weights->codes[0] + (channel + 1u < layer->c_out ? channel_bytes : 0u);
}

/* One or two word columns, `step` words apart: lane l of column c makes output
 * first + c + l * lane_step, where that is below `end`. */
typedef struct {
    const uint32_t *x;
    uint32_t step, columns;
    uint32_t first, lane_step, end;
} columns_t;

/* All channels of some word columns. */
static void run_columns(const smcu_conv_t *conv, const uint32_t *table, const columns_t *of)
{
    const smcu_layer_t *layer = conv->layer;
    smcu_kernels_weights_t weights = weights_of(layer, table);
    for (uint32_t channel = 0; channel < layer->c_out; channel += CHANNELS) {
        const uint32_t channels = channel + 1u < layer->c_out ? CHANNELS : 1u;
        int32_t sums[CHANNELS * MAX_COLUMNS][LANES] = {{0}};
        select_channels(&weights, layer, channel);
        if (of->columns == 1) {
            smcu_kernels_lanes_1(&weights, of->x, sums);
        } else {
            smcu_kernels_lanes_2(&weights, of->x, of->step, sums);
        }
        for (uint32_t i = 0; i < channels; i++) {
            for (uint32_t column = 0; column < of->columns; column++) {
                const int32_t *sum = sums[i * of->columns + column];
                const uint32_t output = of->first + column;
                finish(conv, channel + i, output, sum[0]);
                if (output + of->lane_step < of->end) {
                    finish(conv, channel + i, output + of->lane_step, sum[1]);
                }
            }
        }
    }
}

/* One dimension: two positions per word. */
static void run_lanes(const smcu_conv_t *conv, const uint32_t *table)
{
    const uint32_t half = half_of(conv->positions);
    const uint32_t step = (uint32_t)conv->layer->stride * conv->layer->c_in;
    pack_lanes(conv);
    for (uint32_t first = 0; first < half; first += MAX_COLUMNS) {
        const uint32_t columns = first + 1u < half ? MAX_COLUMNS : 1u;
        const columns_t of = {conv->scratch + first * step, step, columns, first, half,
                              conv->positions};
        run_columns(conv, table, &of);
    }
}

/* Two dimensions: two outputs per word, which are positions or columns of one. */
static void run_patches(const smcu_conv_t *conv, const uint32_t *table)
{
    const uint32_t taps = smcu_model_taps(conv->layer);
    const uint32_t outputs = conv->positions * smcu_model_out_width(conv->layer);
    for (uint32_t first = 0; first < outputs; first += LANES * MAX_COLUMNS) {
        const uint32_t columns = outputs - first > LANES ? MAX_COLUMNS : 1u;
        const columns_t of = {conv->scratch, taps, columns, first, columns, outputs};
        uint8_t *bytes = (uint8_t *)(conv->scratch + columns * taps);
        for (uint32_t i = 0; i < columns; i++) {
            pack_patches(conv, first + i, columns, outputs - 1u, conv->scratch + i * taps, bytes);
        }
        run_columns(conv, table, &of);
    }
}

/* Weights of two channels in one word, for every pair of codes. */
static void fill_pair_table(uint32_t bits, const uint32_t *table, uint32_t *pairs)
{
    const uint32_t codes = 1u << bits;
    for (uint32_t high = 0; high < codes; high++) {
        const uint32_t upper = table[high] << 16;
        for (uint32_t low = 0; low < codes; low++) {
            *pairs++ = upper + table[low];
        }
    }
}

/* One position of one dimension: two channels per word. */
static void run_pairs(const smcu_conv_t *conv, const uint32_t *table)
{
    const smcu_layer_t *layer = conv->layer;
    fill_pair_table(layer->alphabet->bits, table, conv->scratch);
    smcu_kernels_weights_t weights = weights_of(layer, conv->scratch);
    for (uint32_t channel = 0; channel < layer->c_out; channel += CHANNELS) {
        int32_t sums[CHANNELS] = {0, 0};
        select_channels(&weights, layer, channel);
        smcu_kernels_pair(&weights, conv->in, sums);
        finish(conv, channel, 0, sums[0]);
        if (channel + 1u < layer->c_out) {
            finish(conv, channel + 1u, 0, sums[1]);
        }
    }
}

/* 32-bit sums, one output and channel after the other. */
static void run_wide(const smcu_conv_t *conv, const uint32_t *table)
{
    const smcu_layer_t *layer = conv->layer;
    const uint32_t taps = smcu_model_taps(layer);
    const uint32_t channel_bytes = smcu_alphabet_channel_bytes(layer->alphabet, taps);
    const uint32_t outputs = conv->positions * smcu_model_out_width(layer);
    const bool multiplies = layer->alphabet->bits == 8;
    for (uint32_t output = 0; output < outputs; output++) {
        const uint8_t *x = conv->in + output * layer->stride * layer->c_in;
        const uint8_t *codes = layer->codes;
        if (smcu_model_is_plane(layer)) {
            smcu_patch_bytes(conv, output, (uint8_t *)conv->scratch);
            x = (const uint8_t *)conv->scratch;
        }
        for (uint32_t channel = 0; channel < layer->c_out; channel++) {
            finish(conv, channel, output,
                   multiplies ? smcu_kernels_int8(codes, x, taps)
                              : smcu_kernels_wide(table, codes, x, taps));
            codes += channel_bytes;
        }
    }
}

void smcu_conv_run(const smcu_conv_t *conv)
{
    uint32_t table[SMCU_ALPHABET_CODES];
    fill_table(conv->layer->alphabet, table);
    if (!has_lanes(conv->layer)) {
        run_wide(conv, table);
    } else if (smcu_model_is_plane(conv->layer)) {
        run_patches(conv, table);
    } else if (conv->positions == 1) {
        run_pairs(conv, table);
    } else {
        run_lanes(conv, table);
    }
}

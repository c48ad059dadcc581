#include <string.h>

#include "bytes.h"
#include "compiler.h"
#include "model_check.h"
#include "model_layout.h"

#define LANE_LIMIT ((uint64_t)1 << 31)

/* Fields of a convolution that are single numbers. */
static smcu_status_t check_conv_fields(const uint8_t *p, const smcu_layer_t *layer)
{
    if (smcu_bytes_u16(p + LAYER_GROUPS) != 1) {
        return SMCU_ERR_UNSUPPORTED;
    }
    if (p[LAYER_FLAGS] > (FLAG_RESIDUAL | FLAG_LOGITS) || layer->segment != 0
        || layer->segments != 0) {
        return SMCU_ERR_LAYOUT;
    }
    if (!layer->has_residual
        && (layer->residual != 0 || smcu_bytes_u32(p + LAYER_RESIDUAL_AT) != 0)) {
        return SMCU_ERR_LAYOUT;
    }
    /* value - 1 wraps to a large number at 0 */
    const bool within = layer->c_in - 1u < SMCU_MODEL_MAX_CHANNELS
        && layer->c_out - 1u < SMCU_MODEL_MAX_CHANNELS && layer->kernel - 1u < SMCU_MODEL_MAX_KERNEL
        && layer->kernel_f - 1u < SMCU_MODEL_MAX_KERNEL && layer->stride - 1u < SMCU_MODEL_MAX_STRIDE
        && layer->stride_f - 1u < SMCU_MODEL_MAX_STRIDE
        && layer->in_width - 1u < SMCU_MODEL_MAX_WIDTH
        && smcu_model_taps(layer) <= SMCU_MODEL_MAX_TAPS
        && smcu_model_out_width(layer) * layer->c_out <= SMCU_MODEL_MAX_VALUES;
    return within ? SMCU_OK : SMCU_ERR_LIMIT;
}

/* Input and residual tensors exist, are activations and have the right shape.
 * Sets the tensor of the layer's output. */
static smcu_status_t check_conv_shape(smcu_check_t *check, uint32_t index,
                                      const smcu_layer_t *layer)
{
    if (layer->input > index || layer->residual > index) {
        return SMCU_ERR_GRAPH;
    }
    const smcu_check_tensor_t *in = &check->tensors[layer->input];
    const smcu_check_tensor_t *residual = &check->tensors[layer->residual];
    if (in->is_logits || (layer->has_residual && residual->is_logits)
        || (layer->is_logits && !in->pooled)) {
        return SMCU_ERR_GRAPH;
    }
    if (in->values != (uint32_t)layer->in_width * layer->c_in
        || (in->pooled
            && (layer->kernel != 1 || layer->stride != 1 || layer->stride_f != 1
                || smcu_model_is_plane(layer)))) {
        return SMCU_ERR_SHAPE;
    }
    const uint32_t values = smcu_model_out_width(layer) * layer->c_out;
    const uint32_t stride = (uint32_t)in->stride * layer->stride;
    if (stride > SMCU_MODEL_MAX_TOTAL_STRIDE) {
        return SMCU_ERR_LIMIT;
    }
    if (layer->has_residual
        && (residual->values != values || residual->stride != stride
            || residual->pooled != in->pooled)) {
        return SMCU_ERR_SHAPE;
    }
    smcu_check_tensor_t *out = &check->tensors[index + 1u];
    out->values = (uint16_t)values;
    out->stride = (uint16_t)stride;
    out->pooled = in->pooled;
    out->is_logits = layer->is_logits;
    return SMCU_OK;
}

/* Sums of the positive and of |negative| weights of one output channel, every code checked. */
static smcu_status_t sum_codes(const smcu_alphabet_t *alphabet, const uint8_t *codes, uint32_t taps,
                               uint32_t *positive, uint32_t *negative)
{
    const uint32_t mask = (1u << alphabet->bits) - 1u;
    uint32_t buffer = 0;
    uint32_t filled = 0;
    *positive = 0;
    *negative = 0;
    for (uint32_t tap = 0; tap < taps; tap++) {
        if (filled < alphabet->bits) {
            buffer |= (uint32_t)*codes++ << filled;
            filled += 8;
        }
        const uint32_t code = buffer & mask;
        buffer >>= alphabet->bits;
        filled -= alphabet->bits;
        const int32_t weight = smcu_alphabet_weight(alphabet, code);
        if (alphabet->invalid != 0 && code == alphabet->invalid) {
            return SMCU_ERR_CODE;
        }
        *positive += weight > 0 ? (uint32_t)weight : 0u;
        *negative += weight < 0 ? (uint32_t)-weight : 0u;
    }
    return buffer == 0 ? SMCU_OK : SMCU_ERR_CODE;
}

/* The proof of docs/numerics.md, section 2, for one output channel. */
static smcu_status_t check_channel(const smcu_layer_t *layer, uint32_t channel, uint32_t extreme)
{
    const uint8_t *p = layer->parameters + channel * PARAMETER_BYTES;
    const int32_t bias = smcu_bytes_i32(p + PARAMETER_BIAS);
    const uint32_t mult = smcu_bytes_u16(p + PARAMETER_MULT);
    const uint32_t shift = p[PARAMETER_SHIFT];
    const int32_t residual_mult =
        layer->has_residual ? smcu_bytes_i32(layer->residual_mult + 4 * channel) : 0;
    if (p[PARAMETER_ZERO] != 0) {
        return SMCU_ERR_LAYOUT;
    }
    if (mult < 1 || mult > 32767u || shift < 1 || shift > 31u || residual_mult < 0) {
        return SMCU_ERR_PARAMETER;
    }
    const uint32_t bias_size = bias < 0 ? 0u - (uint32_t)bias : (uint32_t)bias;
    const uint64_t accumulator = bias_size + (uint64_t)255 * extreme;
    if (accumulator >= LANE_LIMIT) {
        return SMCU_ERR_OVERFLOW;
    }
    const uint64_t total =
        accumulator * mult + (uint64_t)255 * (uint32_t)residual_mult + ((uint64_t)1 << (shift - 1u));
    return total < LANE_LIMIT ? SMCU_OK : SMCU_ERR_OVERFLOW;
}

static smcu_status_t check_conv(smcu_check_t *check, uint32_t index, const uint8_t *p)
{
    if (p[LAYER_ALPHABET] >= SMCU_ALPHABET_COUNT) {
        return SMCU_ERR_ALPHABET;
    }
    smcu_layer_t layer;
    smcu_model_layer(check->model, index, &layer);
    SMCU_CHECK(check_conv_fields(p, &layer));
    SMCU_CHECK(check_conv_shape(check, index, &layer));
    const uint32_t taps = smcu_model_taps(&layer);
    const uint32_t channel_bytes = smcu_alphabet_channel_bytes(layer.alphabet, taps);
    const uint32_t codes_bytes = smcu_bytes_u32(p + LAYER_CODES_BYTES);
    if (codes_bytes != channel_bytes * layer.c_out) {
        return SMCU_ERR_CODE;
    }
    SMCU_CHECK(smcu_check_section(check, smcu_bytes_u32(p + LAYER_PARAMETERS_AT),
                                  (uint32_t)PARAMETER_BYTES * layer.c_out));
    if (layer.has_residual) {
        SMCU_CHECK(smcu_check_section(check, smcu_bytes_u32(p + LAYER_RESIDUAL_AT),
                                      4u * layer.c_out));
    }
    SMCU_CHECK(smcu_check_section(check, smcu_bytes_u32(p + LAYER_CODES_AT), codes_bytes));
    for (uint32_t channel = 0; channel < layer.c_out; channel++) {
        uint32_t positive = 0;
        uint32_t negative = 0;
        SMCU_CHECK(sum_codes(layer.alphabet, layer.codes + channel * channel_bytes, taps, &positive,
                             &negative));
        SMCU_CHECK(check_channel(&layer, channel, positive > negative ? positive : negative));
    }
    return SMCU_OK;
}

static smcu_status_t check_pool(smcu_check_t *check, uint32_t index, const uint8_t *p)
{
    static const uint8_t unused[] = {LAYER_KERNEL_T, LAYER_KERNEL_F, LAYER_STRIDE_T, LAYER_STRIDE_F,
                                     LAYER_IN_WIDTH, LAYER_GROUPS, LAYER_RESIDUAL,
                                     LAYER_PARAMETERS_AT, LAYER_PARAMETERS_AT + 2,
                                     LAYER_RESIDUAL_AT, LAYER_RESIDUAL_AT + 2,
                                     LAYER_CODES_AT, LAYER_CODES_AT + 2,
                                     LAYER_CODES_BYTES, LAYER_CODES_BYTES + 2};
    for (size_t i = 0; i < sizeof unused; i++) {
        if (smcu_bytes_u16(p + unused[i]) != 0) {
            return SMCU_ERR_LAYOUT;
        }
    }
    const uint32_t input = smcu_bytes_u16(p + LAYER_INPUT);
    const uint32_t channels = smcu_bytes_u16(p + LAYER_C_IN);
    const uint32_t segment = smcu_bytes_u16(p + LAYER_SEGMENT);
    const uint32_t segments = smcu_bytes_u16(p + LAYER_SEGMENTS);
    if (p[LAYER_FLAGS] != 0 || p[LAYER_ALPHABET] != 0
        || smcu_bytes_u16(p + LAYER_C_OUT) != 2 * channels) {
        return SMCU_ERR_LAYOUT;
    }
    if (channels < 1 || channels > SMCU_MODEL_MAX_CHANNELS / 2 || segment < 1
        || segment > SMCU_MODEL_MAX_SEGMENT || (segment & (segment - 1)) != 0 || segments < 1
        || segments > SMCU_MODEL_MAX_SEGMENTS) {
        return SMCU_ERR_LIMIT;
    }
    if (input > index || check->pools++ != 0) {
        return SMCU_ERR_GRAPH;
    }
    const smcu_check_tensor_t *in = &check->tensors[input];
    if (in->pooled || in->is_logits || in->values != channels) {
        return SMCU_ERR_SHAPE;
    }
    smcu_check_tensor_t *out = &check->tensors[index + 1u];
    out->values = (uint16_t)(2 * channels);
    out->stride = 1;
    out->pooled = true;
    check->model->total_stride = in->stride;
    check->model->hop_frames = (uint32_t)in->stride * segment;
    return SMCU_OK;
}

SMCU_COLD smcu_status_t smcu_check_layers(smcu_check_t *check)
{
    const smcu_model_t *model = check->model;
    check->tensors[0].values = model->bins;
    check->tensors[0].stride = 1;
    for (uint32_t i = 0; i < model->n_layers; i++) {
        const uint8_t *p = model->bytes + model->layers_at + i * LAYER_BYTES;
        if (p[LAYER_OP] > SMCU_OP_POOL) {
            return SMCU_ERR_OP;
        }
        if (p[LAYER_ZERO] != 0) {
            return SMCU_ERR_LAYOUT;
        }
        SMCU_CHECK(p[LAYER_OP] == SMCU_OP_CONV ? check_conv(check, i, p) : check_pool(check, i, p));
    }
    if (check->pools != 1) {
        return SMCU_ERR_GRAPH;
    }
    for (uint32_t i = 0; i <= model->n_layers; i++) {
        if (!check->tensors[i].pooled && model->total_stride % check->tensors[i].stride != 0) {
            return SMCU_ERR_SHAPE;
        }
    }
    return SMCU_OK;
}

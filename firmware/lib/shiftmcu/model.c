#include "model.h"

#include <string.h>

#include "bytes.h"
#include "model_layout.h"

void smcu_model_layer(const smcu_model_t *model, uint32_t index, smcu_layer_t *layer)
{
    const uint8_t *bytes = model->bytes;
    const uint8_t *p = bytes + model->layers_at + index * LAYER_BYTES;
    layer->op = p[LAYER_OP] == SMCU_OP_POOL ? SMCU_OP_POOL : SMCU_OP_CONV;
    layer->has_residual = (p[LAYER_FLAGS] & FLAG_RESIDUAL) != 0;
    layer->is_logits = (p[LAYER_FLAGS] & FLAG_LOGITS) != 0;
    layer->alphabet = smcu_alphabet_get(p[LAYER_ALPHABET]);
    layer->input = (uint16_t)smcu_bytes_u16(p + LAYER_INPUT);
    layer->residual = (uint16_t)smcu_bytes_u16(p + LAYER_RESIDUAL);
    layer->c_in = (uint16_t)smcu_bytes_u16(p + LAYER_C_IN);
    layer->c_out = (uint16_t)smcu_bytes_u16(p + LAYER_C_OUT);
    layer->kernel = (uint16_t)smcu_bytes_u16(p + LAYER_KERNEL_T);
    layer->stride = (uint16_t)smcu_bytes_u16(p + LAYER_STRIDE_T);
    layer->kernel_f = (uint16_t)smcu_bytes_u16(p + LAYER_KERNEL_F);
    layer->stride_f = (uint16_t)smcu_bytes_u16(p + LAYER_STRIDE_F);
    layer->in_width = (uint16_t)smcu_bytes_u16(p + LAYER_IN_WIDTH);
    layer->segment = (uint16_t)smcu_bytes_u16(p + LAYER_SEGMENT);
    layer->segments = (uint16_t)smcu_bytes_u16(p + LAYER_SEGMENTS);
    layer->parameters = bytes + smcu_bytes_u32(p + LAYER_PARAMETERS_AT);
    layer->residual_mult = bytes + smcu_bytes_u32(p + LAYER_RESIDUAL_AT);
    layer->codes = bytes + smcu_bytes_u32(p + LAYER_CODES_AT);
}

void smcu_model_head(const smcu_model_t *model, uint32_t index, smcu_head_t *head)
{
    const uint8_t *p = model->bytes + model->heads_at + index * HEAD_BYTES;
    head->layer = (uint16_t)smcu_bytes_u16(p + HEAD_LAYER);
    head->n_classes = (uint16_t)smcu_bytes_u16(p + HEAD_CLASSES);
    head->name = (const char *)(model->bytes + smcu_bytes_u32(p + HEAD_NAME_AT));
    head->labels = (const char *)(model->bytes + smcu_bytes_u32(p + HEAD_LABELS_AT));
}

void smcu_model_selftest(const smcu_model_t *model, uint32_t index, smcu_selftest_t *test)
{
    const uint8_t *p = model->bytes + model->selftests_at + index * SELFTEST_BYTES;
    test->pcm = model->bytes + smcu_bytes_u32(p + SELFTEST_PCM_AT);
    test->n_samples = smcu_bytes_u32(p + SELFTEST_SAMPLES);
    test->logits = model->bytes + smcu_bytes_u32(p + SELFTEST_LOGITS_AT);
    test->n_decisions = smcu_bytes_u32(p + SELFTEST_DECISIONS);
}

const uint8_t *smcu_model_tuple(const smcu_model_t *model, uint32_t index)
{
    return model->bytes + model->tuples_at + index * (model->n_heads - 1u);
}

const char *smcu_model_name(const smcu_model_t *model)
{
    return (const char *)(model->bytes + model->strings_at);
}

const char *smcu_model_label(const smcu_model_t *model, uint32_t head, uint32_t class_index)
{
    smcu_head_t decoded;
    smcu_model_head(model, head, &decoded);
    const char *label = decoded.labels;
    while (class_index-- > 0) {
        label += strlen(label) + 1;
    }
    return label;
}

const uint8_t *smcu_model_sha256(const smcu_model_t *model)
{
    return model->bytes + HEADER_SHA256;
}

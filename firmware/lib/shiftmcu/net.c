#include "net.h"

#include <string.h>

#include "compiler.h"
#include "conv.h"

#define SCRATCH_BYTES_MIN 1024u
#define ZERO_POINT 0x80u /* q ^ 0x80 is u, as bytes */

/* Where a tensor lies; an array of these starts the arena. */
typedef struct {
    uint32_t at; /* byte offset of its history in the arena */
    uint16_t values; /* per position */
    uint16_t history;
    uint16_t rows; /* positions per block; 0 for logits */
    bool pooled;   /* behind the pool: has a new row only when a segment is finished */
} record_t;

typedef char record_is_12_bytes[sizeof(record_t) == 12 ? 1 : -1];

static record_t *records(const smcu_net_t *net)
{
    return (record_t *)(void *)net->arena;
}

static uint8_t *block_of(const smcu_net_t *net, const record_t *record)
{
    return net->arena + record->at + (uint32_t)record->history * record->values;
}

static uint32_t rounded(uint32_t n_bytes)
{
    return (n_bytes + 3u) & ~3u;
}

/* Rows that the convolutions reading a tensor need from before the block. */
static uint32_t history_of(const smcu_model_t *model, uint32_t tensor)
{
    uint32_t history = 0;
    for (uint32_t i = tensor; i < model->n_layers; i++) { /* readers come later */
        smcu_layer_t layer;
        smcu_model_layer(model, i, &layer);
        if (layer.op == SMCU_OP_CONV && layer.input == tensor
            && layer.kernel > layer.stride + history) {
            history = (uint32_t)layer.kernel - layer.stride;
        }
    }
    return history;
}

/* Values per position that a layer gives. */
static uint32_t values_of(const smcu_layer_t *layer)
{
    return layer->op == SMCU_OP_POOL ? layer->c_out : smcu_model_out_width(layer) * layer->c_out;
}

/* Shape of a tensor; walks up its inputs for the stride. */
static void describe(const smcu_model_t *model, uint32_t tensor, record_t *record)
{
    smcu_layer_t layer;
    uint32_t stride = 1;
    record->at = 0;
    record->pooled = false;
    record->history = (uint16_t)history_of(model, tensor);
    record->values = model->bins;
    bool is_logits = false;
    for (uint32_t at = tensor; at > 0 && !record->pooled; at = layer.input) {
        smcu_model_layer(model, at - 1u, &layer);
        if (at == tensor) {
            record->values = (uint16_t)values_of(&layer);
            is_logits = layer.is_logits;
        }
        if (layer.op == SMCU_OP_POOL) {
            record->pooled = true;
        } else {
            stride *= layer.stride;
        }
    }
    record->rows = (uint16_t)(record->pooled ? 1u : model->total_stride / stride);
    if (is_logits) {
        record->rows = 0;
    }
}

/* Scratch of one layer whose output is described by `out`. */
static uint32_t scratch_bytes(const smcu_layer_t *layer, const record_t *out)
{
    if (layer->op == SMCU_OP_POOL) {
        return 0;
    }
    return 4u * smcu_conv_scratch_words(layer, out->pooled ? 1u : out->rows);
}

/* Gives every part its place and returns the bytes of all; writes records when there is an arena. */
static uint32_t lay_out(smcu_net_t *net)
{
    const smcu_model_t *model = net->model;
    uint32_t cursor = (model->n_layers + 1u) * (uint32_t)sizeof(record_t);
    uint32_t scratch = SCRATCH_BYTES_MIN;
    net->logits_at = cursor;
    cursor += 4u * model->n_logits;
    for (uint32_t tensor = 0; tensor <= model->n_layers; tensor++) {
        smcu_layer_t layer;
        record_t record;
        describe(model, tensor, &record);
        if (tensor > 0) {
            smcu_model_layer(model, tensor - 1u, &layer);
            const uint32_t needed = scratch_bytes(&layer, &record);
            scratch = needed > scratch ? needed : scratch;
            if (layer.op == SMCU_OP_POOL) {
                net->ring_at = cursor;
                cursor += rounded((uint32_t)layer.segments * layer.c_in);
                net->sums_at = cursor;
                cursor += layer.segment > 1 ? 4u * layer.c_in : 0u;
            }
        }
        record.at = cursor;
        if (net->arena != NULL) {
            records(net)[tensor] = record;
        }
        if (record.rows > 0) {
            cursor += rounded(((uint32_t)record.history + record.rows) * record.values);
        }
    }
    net->scratch_at = cursor;
    return cursor + scratch;
}

SMCU_COLD size_t smcu_net_arena_bytes(const smcu_model_t *model)
{
    smcu_net_t net;
    memset(&net, 0, sizeof net);
    net.model = model;
    return lay_out(&net);
}

SMCU_COLD smcu_status_t smcu_net_init(smcu_net_t *net, const smcu_model_t *model, void *arena,
                                      size_t arena_bytes)
{
    if (((uintptr_t)arena & 3u) != 0 || arena_bytes < smcu_net_arena_bytes(model)) {
        return SMCU_ERR_ARENA;
    }
    memset(net, 0, sizeof *net);
    net->model = model;
    net->arena = arena;
    (void)lay_out(net);
    smcu_net_reset(net);
    return SMCU_OK;
}

void smcu_net_reset(smcu_net_t *net)
{
    memset(net->arena + net->logits_at, 0, net->scratch_at - net->logits_at);
    net->filled = 0;
    net->next = 0;
}

int8_t *smcu_net_input(smcu_net_t *net)
{
    return (int8_t *)block_of(net, &records(net)[0]);
}

uint32_t *smcu_net_scratch(smcu_net_t *net)
{
    return (uint32_t *)(void *)(net->arena + net->scratch_at);
}

const uint8_t *smcu_net_tensor(const smcu_net_t *net, uint32_t tensor, uint32_t *rows,
                               uint32_t *values)
{
    const record_t *record = &records(net)[tensor];
    *rows = record->rows;
    *values = record->values;
    return record->rows > 0 ? block_of(net, record) : NULL;
}

/* First logit of the head that a layer computes. */
static uint32_t first_logit(const smcu_model_t *model, uint32_t layer)
{
    uint32_t first = 0;
    for (uint32_t i = 0; i < model->n_heads; i++) {
        smcu_head_t head;
        smcu_model_head(model, i, &head);
        if (head.layer == layer) {
            break;
        }
        first += head.n_classes;
    }
    return first;
}

static void run_conv(smcu_net_t *net, uint32_t index, const smcu_layer_t *layer)
{
    const record_t *in = &records(net)[layer->input];
    const record_t *out = &records(net)[index + 1u];
    /* Position 0 reads rows stride - kernel .. stride - 1 of the block. */
    const int32_t first = (int32_t)in->history + layer->stride - layer->kernel;
    smcu_conv_t conv = {0};
    conv.layer = layer;
    conv.in = net->arena + in->at + (uint32_t)first * in->values;
    conv.positions = out->pooled ? 1u : out->rows;
    conv.scratch = smcu_net_scratch(net);
    if (layer->has_residual) {
        conv.residual = block_of(net, &records(net)[layer->residual]);
    }
    if (layer->is_logits) {
        int32_t *logits = (int32_t *)(void *)(net->arena + net->logits_at);
        conv.logits = logits + first_logit(net->model, index);
    } else {
        conv.out = block_of(net, out);
    }
    smcu_conv_run(&conv);
}

/* Mean and maximum over the ring, per channel: `out` (2 c_in). */
static void pool_window(const smcu_net_t *net, const smcu_layer_t *layer, uint8_t *out)
{
    const uint32_t channels = layer->c_in;
    const uint32_t segments = layer->segments;
    const uint32_t reciprocal = (2u * 65536u + segments) / (2u * segments); /* Q16 */
    const uint8_t *ring = net->arena + net->ring_at;
    for (uint32_t c = 0; c < channels; c++) {
        uint32_t sum = 0;
        uint32_t most = 0;
        for (uint32_t at = c; at < segments * channels; at += channels) {
            const uint32_t mean = ring[at];
            sum += mean;
            most = mean > most ? mean : most;
        }
        out[c] = (uint8_t)((sum * reciprocal + 32768u) >> 16);
        out[channels + c] = (uint8_t)most;
    }
}

/* Takes one position; true when it finished a segment, and then the output is written. */
static bool run_pool(smcu_net_t *net, uint32_t index, const smcu_layer_t *layer)
{
    const uint8_t *in = block_of(net, &records(net)[layer->input]);
    uint32_t *sums = (uint32_t *)(void *)(net->arena + net->sums_at);
    uint8_t *mean = net->arena + net->ring_at + net->next * layer->c_in;
    net->filled++;
    if (layer->segment == 1) {
        memcpy(mean, in, layer->c_in);
    } else {
        const bool full = net->filled == layer->segment;
        for (uint32_t c = 0; c < layer->c_in; c++) {
            sums[c] += in[c];
            if (full) {
                /* segment = 2^k, so this is rshift(sum, k) */
                mean[c] = (uint8_t)((sums[c] + layer->segment / 2u) / layer->segment);
                sums[c] = 0;
            }
        }
    }
    if (net->filled < layer->segment) {
        return false;
    }
    net->filled = 0;
    net->next = net->next + 1u == layer->segments ? 0 : net->next + 1u;
    pool_window(net, layer, block_of(net, &records(net)[index + 1u]));
    return true;
}

/* The last rows of a tensor become the history of the next block. */
static void keep_history(const smcu_net_t *net, const record_t *record)
{
    uint8_t *start = net->arena + record->at;
    memmove(start, start + (uint32_t)record->rows * record->values,
            (size_t)record->history * record->values);
}

void smcu_net_part(const smcu_net_t *net, uint32_t index)
{
    if (net->part != NULL) {
        net->part(index);
    }
}

const int32_t *smcu_net_run(smcu_net_t *net)
{
    const smcu_model_t *model = net->model;
    const record_t *features = &records(net)[0];
    uint8_t *input = block_of(net, features);
    bool decided = false;
    smcu_net_part(net, 0);
    for (uint32_t i = 0; i < (uint32_t)features->rows * features->values; i++) {
        input[i] ^= ZERO_POINT;
    }
    for (uint32_t i = 0; i < model->n_layers; i++) {
        smcu_layer_t layer;
        smcu_model_layer(model, i, &layer);
        if (!records(net)[i + 1u].pooled || decided) {
            run_conv(net, i, &layer);
        } else if (layer.op == SMCU_OP_POOL) {
            decided = run_pool(net, i, &layer);
        }
        smcu_net_part(net, i + 1u); /* behind the last layer: SMCU_NET_HISTORY */
    }
    for (uint32_t i = 0; i <= model->n_layers; i++) {
        keep_history(net, &records(net)[i]);
    }
    smcu_net_part(net, model->n_layers + SMCU_NET_DECISION);
    return decided ? (const int32_t *)(const void *)(net->arena + net->logits_at) : NULL;
}

/* A model file (.shift, docs/model-format.md) used in place, from flash or RAM.
 *
 * smcu_model_open checks everything once: checksum, place and size of every section, graph, shapes,
 * weight codes, the overflow proof of every channel, names, tuples, self-tests. What it accepts can be
 * run without another check. The bytes must stay where they are, at any address.
 */
#ifndef SMCU_MODEL_H
#define SMCU_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alphabet.h"
#include "status.h"

#define SMCU_MODEL_ABI 1u
#define SMCU_MODEL_MAX_BYTES (1u << 24)
#define SMCU_MODEL_MAX_LAYERS 64u
#define SMCU_MODEL_MAX_BINS 256u
#define SMCU_MODEL_MAX_CHANNELS 1024u
#define SMCU_MODEL_MAX_KERNEL 255u
#define SMCU_MODEL_MAX_STRIDE 64u
#define SMCU_MODEL_MAX_WIDTH 256u
#define SMCU_MODEL_MAX_TAPS (1u << 18)
#define SMCU_MODEL_MAX_VALUES 4096u /* of one position */
#define SMCU_MODEL_MAX_TOTAL_STRIDE 256u
#define SMCU_MODEL_MAX_SEGMENT 1024u
#define SMCU_MODEL_MAX_SEGMENTS 256u
#define SMCU_MODEL_MAX_SLOTS 8u
#define SMCU_MODEL_MAX_LOGITS 250u
#define SMCU_MODEL_MAX_TUPLES 1024u
#define SMCU_MODEL_MAX_SELFTESTS 16u
#define SMCU_MODEL_MAX_SELFTEST_SAMPLES (1u << 20)
#define SMCU_MODEL_MAX_STRING 63u

/* An opened model; read the counts, use the functions below for the rest. */
typedef struct {
    const uint8_t *bytes;
    uint32_t total_bytes;
    uint32_t frontend_id;
    uint32_t layers_at, heads_at, tuples_at, selftests_at, strings_at; /* byte offsets */
    uint16_t bins;       /* features per frame */
    uint16_t n_layers;   /* tensor 0 is the features, i + 1 the output of layer i */
    uint16_t n_heads;    /* one per slot, then "command" */
    uint16_t n_tuples;   /* 0: every combination of classes is valid */
    uint16_t n_selftests;
    uint16_t n_logits;   /* of all heads */
    uint16_t threshold;  /* Q15, 0..32768 */
    uint16_t min_margin; /* Q15, 0..32768 */
    uint16_t smooth_shift; /* 0..15, 0: none */
    uint16_t hold;         /* decisions, >= 1 */
    uint16_t cooldown;     /* decisions */
    uint16_t flush_frames;
    uint16_t total_stride; /* frames per block */
    uint32_t hop_frames;   /* frames per decision */
} smcu_model_t;

typedef enum { SMCU_OP_CONV = 0, SMCU_OP_POOL = 1 } smcu_op_t;

/* One layer, decoded. Fields that its operation does not have are 0. */
typedef struct {
    smcu_op_t op;
    bool has_residual;
    bool is_logits;           /* int32 results of a head, no clamp */
    uint16_t input, residual; /* tensor ids */
    uint16_t c_in, c_out;     /* channels */
    uint16_t kernel, stride;  /* positions */
    uint16_t kernel_f, stride_f, in_width; /* columns; all 1 in one dimension */
    uint16_t segment, segments;
    const smcu_alphabet_t *alphabet;
    const uint8_t *parameters;    /* c_out records of 8 bytes: bias i32, mult u16, shift u8, 0 */
    const uint8_t *residual_mult; /* c_out values i32 >= 0 */
    const uint8_t *codes; /* c_out channels of smcu_alphabet_channel_bytes(smcu_model_taps) */
} smcu_layer_t;

typedef struct {
    const char *name;   /* UTF-8 */
    const char *labels; /* n_classes strings behind each other */
    uint16_t layer;     /* the layer that gives its logits */
    uint16_t n_classes;
} smcu_head_t;

typedef struct {
    const uint8_t *pcm;    /* n_samples values i16 */
    const uint8_t *logits; /* n_decisions * n_logits values i32 */
    uint32_t n_samples, n_decisions;
} smcu_selftest_t;

/* Checks `n_bytes` at `blob` and fills `model`, which then refers to them. */
smcu_status_t smcu_model_open(smcu_model_t *model, const void *blob, size_t n_bytes);

/* Preconditions of all that follow: the model was opened, indices are below their counts. */
void smcu_model_layer(const smcu_model_t *model, uint32_t index, smcu_layer_t *layer);
void smcu_model_head(const smcu_model_t *model, uint32_t index, smcu_head_t *head);
void smcu_model_selftest(const smcu_model_t *model, uint32_t index, smcu_selftest_t *test);

/* Weights of one output channel of a convolution, 1..SMCU_MODEL_MAX_TAPS. */
static inline uint32_t smcu_model_taps(const smcu_layer_t *layer)
{
    return (uint32_t)layer->kernel * layer->kernel_f * layer->c_in;
}

/* Whether a convolution reads columns. */
static inline bool smcu_model_is_plane(const smcu_layer_t *layer)
{
    return layer->in_width > 1 || layer->kernel_f > 1;
}

/* Output columns of a convolution. */
static inline uint32_t smcu_model_out_width(const smcu_layer_t *layer)
{
    return layer->in_width == 1 ? 1u : ((uint32_t)layer->in_width - 1u) / layer->stride_f + 1u;
}

/* One class per slot: n_heads - 1 bytes. */
const uint8_t *smcu_model_tuple(const smcu_model_t *model, uint32_t index);

/* Name of the model; UTF-8, NUL at the end, as all strings. */
const char *smcu_model_name(const smcu_model_t *model);
const char *smcu_model_label(const smcu_model_t *model, uint32_t head, uint32_t class_index);

/* Identity of the model: 32 bytes, SHA-256 of all bytes behind them. The runtime does not compute it;
 * the CRC guards the bytes. */
const uint8_t *smcu_model_sha256(const smcu_model_t *model);

#endif

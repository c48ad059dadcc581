#include "model_check.h"

#include <string.h>

#include "bytes.h"
#include "compiler.h"
#include "frame.h"
#include "model_layout.h"

enum { WINDOW = 512, HOP = 320 }; /* samples of the frontend */

SMCU_COLD smcu_status_t smcu_check_section(smcu_check_t *check, uint32_t at, uint32_t n_bytes)
{
    const smcu_model_t *model = check->model;
    if (at != check->cursor) {
        return SMCU_ERR_LAYOUT;
    }
    if (n_bytes > model->total_bytes - at) {
        return SMCU_ERR_BOUNDS;
    }
    uint32_t end = at + n_bytes;
    while ((end & 3u) != 0) { /* total_bytes is a multiple of 4 */
        if (model->bytes[end++] != 0) {
            return SMCU_ERR_LAYOUT;
        }
    }
    check->cursor = end;
    return SMCU_OK;
}

static smcu_status_t check_envelope(const uint8_t *p, size_t n_bytes)
{
    if (n_bytes < HEADER_BYTES) {
        return SMCU_ERR_TRUNCATED;
    }
    if (memcmp(p + HEADER_MAGIC, "SHFT", 4) != 0) {
        return SMCU_ERR_MAGIC;
    }
    if (smcu_bytes_u16(p + HEADER_ABI) != SMCU_MODEL_ABI
        || smcu_bytes_u16(p + HEADER_HEADER_BYTES) != HEADER_BYTES) {
        return SMCU_ERR_ABI;
    }
    if (smcu_bytes_u32(p + HEADER_TOTAL_BYTES) != n_bytes) {
        return SMCU_ERR_TRUNCATED;
    }
    if (n_bytes > SMCU_MODEL_MAX_BYTES) {
        return SMCU_ERR_LIMIT;
    }
    if (smcu_bytes_u32(p + HEADER_CRC) != smcu_frame_crc32(0, p + HEADER_SHA256, n_bytes - HEADER_SHA256)) {
        return SMCU_ERR_CRC;
    }
    return (n_bytes & 3u) != 0 || smcu_bytes_u16(p + HEADER_ZERO) != 0 ? SMCU_ERR_LAYOUT : SMCU_OK;
}

static smcu_status_t check_header(smcu_model_t *model, const uint8_t *p)
{
    model->bytes = p;
    model->total_bytes = smcu_bytes_u32(p + HEADER_TOTAL_BYTES);
    model->frontend_id = smcu_bytes_u32(p + HEADER_FRONTEND_ID);
    model->bins = (uint16_t)smcu_bytes_u16(p + HEADER_BINS);
    model->n_layers = (uint16_t)smcu_bytes_u16(p + HEADER_LAYERS);
    model->n_heads = (uint16_t)smcu_bytes_u16(p + HEADER_HEADS);
    model->n_tuples = (uint16_t)smcu_bytes_u16(p + HEADER_TUPLES);
    model->n_selftests = (uint16_t)smcu_bytes_u16(p + HEADER_SELFTESTS);
    model->threshold = (uint16_t)smcu_bytes_u16(p + HEADER_THRESHOLD);
    model->min_margin = (uint16_t)smcu_bytes_u16(p + HEADER_MIN_MARGIN);
    model->smooth_shift = (uint16_t)smcu_bytes_u16(p + HEADER_SMOOTH_SHIFT);
    model->hold = (uint16_t)smcu_bytes_u16(p + HEADER_HOLD);
    model->cooldown = (uint16_t)smcu_bytes_u16(p + HEADER_COOLDOWN);
    model->flush_frames = (uint16_t)smcu_bytes_u16(p + HEADER_FLUSH_FRAMES);
    model->layers_at = smcu_bytes_u32(p + HEADER_LAYERS_AT);
    model->heads_at = smcu_bytes_u32(p + HEADER_HEADS_AT);
    model->tuples_at = smcu_bytes_u32(p + HEADER_TUPLES_AT);
    model->selftests_at = smcu_bytes_u32(p + HEADER_SELFTESTS_AT);
    model->strings_at = smcu_bytes_u32(p + HEADER_STRINGS_AT);
    const bool within = model->bins >= 1 && model->bins <= SMCU_MODEL_MAX_BINS
        && model->n_layers >= 1 && model->n_layers <= SMCU_MODEL_MAX_LAYERS
        && model->n_heads >= 2 && model->n_heads <= SMCU_MODEL_MAX_SLOTS + 1
        && model->n_tuples <= SMCU_MODEL_MAX_TUPLES
        && model->n_selftests <= SMCU_MODEL_MAX_SELFTESTS && model->threshold <= 32768u
        && model->min_margin <= 32768u && model->smooth_shift <= 15u && model->hold >= 1;
    return within ? SMCU_OK : SMCU_ERR_LIMIT;
}

/* Every logits layer belongs to exactly one head, which has as many classes as it has channels. */
static smcu_status_t check_heads(smcu_check_t *check)
{
    smcu_model_t *model = check->model;
    uint32_t n_logits = 0;
    uint32_t logits_layers = 0;
    for (uint32_t i = 1; i <= model->n_layers; i++) {
        logits_layers += check->tensors[i].is_logits ? 1u : 0u;
    }
    if (logits_layers != model->n_heads) {
        return SMCU_ERR_HEADS;
    }
    for (uint32_t i = 0; i < model->n_heads; i++) {
        smcu_head_t head;
        smcu_model_head(model, i, &head);
        if (head.layer >= model->n_layers) {
            return SMCU_ERR_HEADS;
        }
        smcu_check_tensor_t *tensor = &check->tensors[head.layer + 1u];
        if (!tensor->is_logits || tensor->values != head.n_classes) {
            return SMCU_ERR_HEADS;
        }
        tensor->is_logits = false; /* taken */
        n_logits += head.n_classes;
    }
    model->n_logits = (uint16_t)n_logits;
    return n_logits <= SMCU_MODEL_MAX_LOGITS ? SMCU_OK : SMCU_ERR_LIMIT;
}

static smcu_status_t check_tuples(smcu_check_t *check)
{
    const smcu_model_t *model = check->model;
    const uint32_t slots = model->n_heads - 1u;
    SMCU_CHECK(smcu_check_section(check, model->tuples_at, model->n_tuples * slots));
    for (uint32_t slot = 0; slot < slots; slot++) {
        smcu_head_t head;
        smcu_model_head(model, slot, &head);
        for (uint32_t i = 0; i < model->n_tuples; i++) {
            if (smcu_model_tuple(model, i)[slot] >= head.n_classes) {
                return SMCU_ERR_TUPLE;
            }
        }
    }
    return SMCU_OK;
}

/* Decisions of a stream with its flush (docs/numerics.md, section 3). */
static uint32_t decisions_in(const smcu_model_t *model, uint32_t n_samples)
{
    const uint32_t frames = n_samples < WINDOW ? 0 : (n_samples - WINDOW) / HOP + 1u;
    return (frames + model->flush_frames + model->hop_frames - 1u) / model->hop_frames;
}

static smcu_status_t check_selftests(smcu_check_t *check)
{
    const smcu_model_t *model = check->model;
    SMCU_CHECK(
        smcu_check_section(check, model->selftests_at, model->n_selftests * SELFTEST_BYTES));
    for (uint32_t i = 0; i < model->n_selftests; i++) {
        const uint8_t *p = model->bytes + model->selftests_at + i * SELFTEST_BYTES;
        const uint32_t n_samples = smcu_bytes_u32(p + SELFTEST_SAMPLES);
        const uint32_t n_decisions = smcu_bytes_u32(p + SELFTEST_DECISIONS);
        if (n_samples < 1 || n_samples > SMCU_MODEL_MAX_SELFTEST_SAMPLES) {
            return SMCU_ERR_LIMIT;
        }
        if (n_decisions != decisions_in(model, n_samples)) {
            return SMCU_ERR_SELFTEST;
        }
        SMCU_CHECK(smcu_check_section(check, smcu_bytes_u32(p + SELFTEST_PCM_AT), 2 * n_samples));
        SMCU_CHECK(smcu_check_section(check, smcu_bytes_u32(p + SELFTEST_LOGITS_AT),
                                      4 * n_decisions * model->n_logits));
    }
    return SMCU_OK;
}

/* Bytes of the UTF-8 character at p, 0 when it is none (too long, a surrogate, beyond U+10FFFF). */
static uint32_t utf8_bytes(const uint8_t *p)
{
    const uint32_t lead = p[0];
    const uint32_t n = lead < 0x80u ? 1u : lead < 0xc2u ? 0u : lead < 0xe0u ? 2u
        : lead < 0xf0u ? 3u : lead < 0xf5u ? 4u : 0u;
    for (uint32_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0u) != 0x80u) { /* also the NUL that ends the string */
            return 0;
        }
    }
    const bool bad = (lead == 0xe0u && p[1] < 0xa0u) || (lead == 0xedu && p[1] > 0x9fu)
        || (lead == 0xf0u && p[1] < 0x90u) || (lead == 0xf4u && p[1] > 0x8fu);
    return bad ? 0 : n;
}

/* The next string starts at the cursor and must be at `at`. */
static smcu_status_t check_string(smcu_check_t *check, uint32_t at)
{
    const smcu_model_t *model = check->model;
    if (at != check->cursor) {
        return SMCU_ERR_LAYOUT;
    }
    const uint8_t *text = model->bytes + at;
    const uint8_t *end = memchr(text, 0, model->total_bytes - at);
    if (end == NULL || end == text || (uint32_t)(end - text) > SMCU_MODEL_MAX_STRING) {
        return SMCU_ERR_STRING;
    }
    check->cursor = at + (uint32_t)(end - text) + 1u;
    while (text < end) {
        const uint32_t n = utf8_bytes(text);
        if (n == 0 || *text < 0x20u || *text == 0x7fu) {
            return SMCU_ERR_STRING;
        }
        text += n;
    }
    return SMCU_OK;
}

static smcu_status_t check_names(smcu_check_t *check)
{
    const smcu_model_t *model = check->model;
    SMCU_CHECK(check_string(check, model->strings_at));
    for (uint32_t i = 0; i < model->n_layers; i++) {
        const uint8_t *p = model->bytes + model->layers_at + i * LAYER_BYTES;
        SMCU_CHECK(check_string(check, smcu_bytes_u32(p + LAYER_NAME_AT)));
    }
    for (uint32_t i = 0; i < model->n_heads; i++) {
        const uint8_t *p = model->bytes + model->heads_at + i * HEAD_BYTES;
        SMCU_CHECK(check_string(check, smcu_bytes_u32(p + HEAD_NAME_AT)));
        SMCU_CHECK(check_string(check, smcu_bytes_u32(p + HEAD_LABELS_AT)));
        for (uint32_t label = 1; label < smcu_bytes_u16(p + HEAD_CLASSES); label++) {
            SMCU_CHECK(check_string(check, check->cursor));
        }
    }
    const uint32_t end = check->cursor;
    check->cursor = model->strings_at;
    SMCU_CHECK(smcu_check_section(check, model->strings_at, end - model->strings_at));
    return check->cursor == model->total_bytes ? SMCU_OK : SMCU_ERR_LAYOUT;
}

/* Names of heads differ; the last one is "command" with the classes "reject" and "command". */
static smcu_status_t check_command(const smcu_model_t *model)
{
    const uint32_t last = model->n_heads - 1u;
    smcu_head_t head;
    for (uint32_t i = 0; i < last; i++) {
        smcu_model_head(model, i, &head);
        for (uint32_t j = i + 1; j <= last; j++) {
            smcu_head_t other;
            smcu_model_head(model, j, &other);
            if (strcmp(head.name, other.name) == 0) {
                return SMCU_ERR_HEADS;
            }
        }
    }
    smcu_model_head(model, last, &head);
    const bool right = head.n_classes == 2 && strcmp(head.name, "command") == 0
        && strcmp(head.labels, "reject") == 0
        && strcmp(smcu_model_label(model, last, 1), "command") == 0;
    return right ? SMCU_OK : SMCU_ERR_HEADS;
}

SMCU_COLD smcu_status_t smcu_model_open(smcu_model_t *model, const void *blob, size_t n_bytes)
{
    const uint8_t *bytes = blob;
    smcu_check_t check;
    memset(model, 0, sizeof *model);
    memset(&check, 0, sizeof check);
    SMCU_CHECK(check_envelope(bytes, n_bytes));
    SMCU_CHECK(check_header(model, bytes));
    check.model = model;
    check.cursor = HEADER_BYTES;
    SMCU_CHECK(smcu_check_section(&check, model->layers_at, model->n_layers * LAYER_BYTES));
    SMCU_CHECK(smcu_check_section(&check, model->heads_at, model->n_heads * HEAD_BYTES));
    SMCU_CHECK(smcu_check_layers(&check));
    SMCU_CHECK(check_heads(&check));
    SMCU_CHECK(check_tuples(&check));
    SMCU_CHECK(check_selftests(&check));
    SMCU_CHECK(check_names(&check));
    return check_command(model);
}

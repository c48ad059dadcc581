#include "stream.h"

#include <string.h>

#include "frontend_tables.h"

size_t smcu_stream_arena_bytes(const smcu_model_t *model)
{
    return smcu_net_arena_bytes(model) + 4u * (size_t)model->n_logits;
}

smcu_status_t smcu_stream_init(smcu_stream_t *stream, const smcu_model_t *model, void *arena,
                               size_t arena_bytes, const smcu_hooks_t *hooks)
{
    const size_t net_bytes = smcu_net_arena_bytes(model);
    if (model->frontend_id != SMCU_FRONTEND_ID || model->bins != SMCU_FRONTEND_BINS) {
        return SMCU_ERR_FRONTEND;
    }
    if (arena_bytes < smcu_stream_arena_bytes(model)) {
        return SMCU_ERR_ARENA;
    }
    memset(stream, 0, sizeof *stream);
    const smcu_status_t status = smcu_net_init(&stream->net, model, arena, net_bytes);
    if (status != SMCU_OK) {
        return status;
    }
    if (hooks != NULL) {
        stream->hooks = *hooks;
    }
    smcu_intent_init(&stream->intent, model, (int32_t *)(void *)((uint8_t *)arena + net_bytes));
    smcu_stream_reset(stream);
    return SMCU_OK;
}

void smcu_stream_reset(smcu_stream_t *stream)
{
    smcu_frontend_init(&stream->frontend);
    smcu_net_reset(&stream->net);
    smcu_intent_init(&stream->intent, stream->net.model, stream->intent.smooth);
    stream->samples = 0;
    stream->frames = 0;
    stream->frontend_ticks = 0;
    stream->network_ticks = 0;
    stream->row = 0;
}

static uint32_t ticks_of(const smcu_stream_t *stream)
{
    return stream->hooks.ticks != NULL ? stream->hooks.ticks() : 0;
}

/* The frontend holds a complete frame: its features become the next row of the block. */
static void take_frame(smcu_stream_t *stream)
{
    int8_t *row = smcu_net_input(&stream->net) + stream->row * SMCU_FRONTEND_BINS;
    const uint32_t before = ticks_of(stream);
    smcu_frontend_take(&stream->frontend, smcu_net_scratch(&stream->net), row);
    stream->frontend_ticks += (uint32_t)(ticks_of(stream) - before);
    stream->frames++;
    stream->row++;
    if (stream->hooks.features != NULL) {
        stream->hooks.features(stream->hooks.context, row);
    }
}

/* Runs the block that is complete; fills `result` when it brought a decision. */
static void run_block(smcu_stream_t *stream, smcu_result_t *result)
{
    const uint32_t before = ticks_of(stream);
    stream->row = 0;
    result->logits = smcu_net_run(&stream->net);
    if (result->logits != NULL) {
        result->decided = true;
        result->decision = stream->intent.decisions;
        result->end_sample = (stream->frames - 1u) * SMCU_FRONTEND_HOP + SMCU_FRONTEND_WINDOW;
        result->has_event = smcu_intent_next(&stream->intent, result->logits, &result->intent);
    }
    smcu_net_part(&stream->net, stream->net.model->n_layers + SMCU_NET_END);
    stream->network_ticks += (uint32_t)(ticks_of(stream) - before);
}

size_t smcu_stream_push(smcu_stream_t *stream, const int16_t *pcm, size_t n_samples,
                        smcu_result_t *result)
{
    size_t taken = 0;
    memset(result, 0, sizeof *result);
    while (taken < n_samples && !result->decided) {
        const size_t n = smcu_frontend_feed(&stream->frontend, pcm + taken, n_samples - taken);
        taken += n;
        stream->samples += n;
        if (!smcu_frontend_ready(&stream->frontend)) {
            continue;
        }
        take_frame(stream);
        if (stream->row == stream->net.model->total_stride) {
            run_block(stream, result);
        }
    }
    return taken;
}

size_t smcu_stream_flush_samples(const smcu_stream_t *stream)
{
    const smcu_model_t *model = stream->net.model;
    const uint64_t hop = model->hop_frames;
    const uint64_t target = (stream->frames + model->flush_frames + hop - 1u) / hop * hop;
    if (target <= stream->frames) {
        return 0;
    }
    const uint64_t end = SMCU_FRONTEND_WINDOW + (target - 1u) * SMCU_FRONTEND_HOP;
    return (size_t)(end - stream->samples);
}

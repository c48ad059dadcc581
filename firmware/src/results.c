#include "results.h"

#include <stdbool.h>

#include "level.h"
#include "port.h"
#include "profile.h"
#include "ring.h"
#include "session.h"
#include "wire.h"

#define LOOK_BACK_MAX (1u << 22) /* frames, a day: keeps the sum in samples within 31 bits */

static struct {
    const smcu_model_t *model;
    uint32_t look_back; /* samples that a decision depends on: how long a gap is flagged */
    uint32_t stream_id;
    uint32_t want;
    uint32_t gap_end;
    bool has_gap;
    uint64_t frontend_ticks, network_ticks; /* of the stream, at the decision before */
    smcu_results_count_t count;
    smcu_level_t level;
} results;

/* Samples that reach into one decision: the pool's window and the convolutions before it. */
static uint32_t look_back_samples(const smcu_model_t *model)
{
    uint32_t frames[SMCU_MODEL_MAX_LAYERS + 1] = {1}; /* per tensor: frames one position sees */
    uint32_t step[SMCU_MODEL_MAX_LAYERS + 1] = {1};   /* frames from position to position */
    uint32_t most = 1;

    for (uint32_t i = 0; i < model->n_layers; i++) {
        smcu_layer_t layer;

        smcu_model_layer(model, i, &layer);
        const uint32_t kernel = (layer.op == SMCU_OP_CONV)
                                    ? layer.kernel
                                    : (uint32_t)layer.segment * layer.segments;
        const uint32_t stride = (layer.op == SMCU_OP_CONV) ? layer.stride : layer.segment;
        frames[i + 1] = frames[layer.input] + (kernel - 1u) * step[layer.input];
        step[i + 1] = step[layer.input] * stride;
        if (layer.has_residual && frames[layer.residual] > frames[i + 1]) {
            frames[i + 1] = frames[layer.residual];
        }
        most = (frames[i + 1] > most) ? frames[i + 1] : most;
    }
    most = (most < LOOK_BACK_MAX) ? most : LOOK_BACK_MAX;
    return most * SMCU_FRONTEND_HOP + SMCU_FRONTEND_WINDOW;
}

void smcu_results_init(const smcu_model_t *model)
{
    results.model = model;
    results.look_back = look_back_samples(model);
}

void smcu_results_start(uint32_t stream_id, uint32_t want)
{
    results.stream_id = stream_id;
    results.want = want;
    results.has_gap = false;
    results.frontend_ticks = 0;
    results.network_ticks = 0;
    results.count = (smcu_results_count_t){0};
    results.level = (smcu_level_t){0};
    smcu_stream.net.part = NULL;
    if ((want & SMCU_WANT_LAYER) != 0u) {
        smcu_profile_start(&smcu_stream.net);
    }
}

void smcu_results_gap(uint32_t gap_end)
{
    results.has_gap = true;
    results.gap_end = gap_end;
}

uint32_t smcu_results_look_back(void)
{
    return results.look_back;
}

const smcu_results_count_t *smcu_results_count(void)
{
    return &results.count;
}

void smcu_results_features(void *context, const int8_t features[SMCU_FRONTEND_BINS])
{
    (void)context;
    if ((results.want & SMCU_WANT_FEATURES) != 0u) {
        smcu_wire_begin(SMCU_PACKET_FEATURES);
        smcu_wire_u32((uint32_t)smcu_stream.frames - 1u);
        smcu_wire_u16(1);
        smcu_wire_u16(SMCU_FRONTEND_BINS);
        smcu_wire_bytes(features, SMCU_FRONTEND_BINS);
        smcu_wire_send();
    }
}

/* The activations of every layer after a decision, as q = u - 128. */
static void send_tensors(uint32_t decision)
{
    for (uint32_t layer = 0; layer < results.model->n_layers; layer++) {
        uint32_t rows = 0, values = 0;
        const uint8_t *u = smcu_net_tensor(&smcu_stream.net, layer + 1u, &rows, &values);
        const uint32_t bytes = (u == NULL) ? 0 : rows * values;

        for (uint32_t offset = 0; offset < bytes;) {
            smcu_wire_begin(SMCU_PACKET_TENSOR_OUT);
            smcu_wire_u32(decision);
            smcu_wire_u8(layer);
            smcu_wire_u8(offset >> 16);
            smcu_wire_u16(offset);
            for (; offset < bytes && smcu_wire_room() > 0; offset++) {
                smcu_wire_u8(u[offset] ^ 0x80u);
            }
            smcu_wire_send();
        }
    }
}

static void send_logits(const smcu_result_t *result, uint32_t flags)
{
    smcu_wire_begin(SMCU_PACKET_LOGITS);
    smcu_wire_u32(result->decision);
    smcu_wire_u32((uint32_t)result->end_sample);
    smcu_wire_u16(results.model->n_logits);
    smcu_wire_u16(flags);
    for (uint32_t i = 0; i < results.model->n_logits; i++) {
        smcu_wire_u32((uint32_t)result->logits[i]);
    }
    smcu_wire_send();
}

static void send_event(const smcu_result_t *result, uint32_t flags)
{
    const uint32_t n = result->intent.n_slots;

    smcu_wire_begin(SMCU_PACKET_EVENT);
    smcu_wire_u32(results.stream_id);
    smcu_wire_u32(result->decision);
    smcu_wire_u32((uint32_t)result->end_sample);
    smcu_wire_u16(result->intent.score);
    smcu_wire_u16(result->intent.margin);
    smcu_wire_u16(flags);
    smcu_wire_u8(n);
    smcu_wire_bytes(result->intent.classes, n);
    smcu_wire_send();
}

/* Ticks of the decision just made and of the answers to it; `sent` is the counter before those. */
static void send_latency(uint32_t decision, uint32_t sent)
{
    smcu_wire_begin(SMCU_PACKET_LAT);
    smcu_wire_u32(decision);
    smcu_wire_u32((uint32_t)(smcu_stream.frontend_ticks - results.frontend_ticks));
    smcu_wire_u32((uint32_t)(smcu_stream.network_ticks - results.network_ticks));
    smcu_wire_u32(smcu_port_ticks() - sent);
    smcu_wire_u32(smcu_ring_used(&smcu_rx_ring));
    smcu_wire_u32(smcu_port_stack_free());
    smcu_wire_send();
    results.frontend_ticks = smcu_stream.frontend_ticks;
    results.network_ticks = smcu_stream.network_ticks;
}

void smcu_results_send(const smcu_result_t *result)
{
    const uint32_t start = smcu_port_ticks();
    const int32_t since_gap = (int32_t)((uint32_t)result->end_sample - results.gap_end);
    const bool gap = results.has_gap && since_gap < (int32_t)results.look_back;
    const uint32_t flags = gap ? 1u : 0u;

    results.count.decisions++;
    if (results.want & SMCU_WANT_LOGITS) {
        send_logits(result, flags);
    }
    if (result->has_event) {
        results.count.events++;
        send_event(result, flags);
    }
    if (results.want & SMCU_WANT_TENSOR_OUT) {
        send_tensors(result->decision);
    }
    if (results.want & SMCU_WANT_LAT) {
        send_latency(result->decision, start);
    }
    if (results.want & SMCU_WANT_LAYER) {
        smcu_profile_send(result->decision);
    }
}

static void send_audio_up(uint32_t first_sample, const int16_t *pcm, size_t n)
{
    smcu_wire_begin(SMCU_PACKET_AUDIO_UP);
    smcu_wire_u32(first_sample);
    for (size_t i = 0; i < n; i++) {
        smcu_wire_u16((uint16_t)pcm[i]);
    }
    smcu_wire_send();
}

static void send_level(uint32_t end_sample, const smcu_level_report_t *report, uint32_t lost)
{
    smcu_wire_begin(SMCU_PACKET_LEVEL);
    smcu_wire_u32(end_sample);
    smcu_wire_u16(report->peak);
    smcu_wire_u16(report->rms);
    smcu_wire_u16(report->clipped);
    smcu_wire_u16(0);
    smcu_wire_u32(lost);
    smcu_wire_send();
}

void smcu_results_heard(uint32_t first_sample, const int16_t *pcm, size_t n, uint32_t lost)
{
    if (results.want & SMCU_WANT_AUDIO_UP) {
        send_audio_up(first_sample, pcm, n);
    }
    for (size_t done = 0; (results.want & SMCU_WANT_LEVEL) != 0u && done < n;) {
        smcu_level_report_t report;

        done += smcu_level_take(&results.level, pcm + done, n - done);
        if (smcu_level_report(&results.level, &report)) {
            send_level(first_sample + (uint32_t)done, &report, lost);
        }
    }
}

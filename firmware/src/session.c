#include "session.h"

#include <string.h>

#include "bytes.h"
#include "intent.h"
#include "measure.h"
#include "microphone.h"
#include "port.h"
#include "results.h"
#include "selftest.h"
#include "wire.h"

#define SOURCE_MIC 1u
#define MODE_EXACT 1u
/* Longest silence that stands in for lost audio, 65 s: a wrong index must not stop the board. */
#define MAX_GAP_SAMPLES (1u << 20)
#define CHUNK_SAMPLES 160u
#define MIC_SAMPLES 320u

smcu_stream_t smcu_stream;
uint32_t smcu_arena[(SMCU_ARENA_BYTES + 3u) / 4u];

static smcu_model_t model;
static uint16_t own_threshold, own_min_margin; /* the model's: RULE changes those in `model` */

static struct {
    bool running;
    bool finished; /* stream_id was answered with DONE: `done` below repeats it */
    bool exact;
    bool mic; /* the samples are the board's own */
    uint32_t stream_id;
    uint32_t next_sample; /* index of the sample that comes next */
    uint32_t missing_samples;
} session;

smcu_status_t smcu_session_open(const void *blob, size_t n_bytes)
{
    const smcu_hooks_t hooks = {.ticks = smcu_port_ticks, .features = smcu_results_features};
    smcu_status_t status = smcu_model_open(&model, blob, n_bytes);

    if (status == SMCU_OK) {
        status = smcu_stream_init(&smcu_stream, &model, smcu_arena, sizeof(smcu_arena), &hooks);
    }
    if (status == SMCU_OK) {
        smcu_results_init(&model);
        own_threshold = model.threshold;
        own_min_margin = model.min_margin;
    }
    return status;
}

smcu_status_t smcu_session_built_in(void)
{
    return smcu_session_open(smcu_model_blob, SMCU_MODEL_BYTES);
}

const smcu_model_t *smcu_session_model(void)
{
    return &model;
}

bool smcu_session_running(void)
{
    return session.running;
}

void smcu_session_abandon(void)
{
    smcu_microphone_stop();
    session.running = false;
    session.finished = false;
    model.threshold = own_threshold;
    model.min_margin = own_min_margin;
}

void smcu_session_send_credit(void)
{
    smcu_wire_begin(SMCU_PACKET_CREDIT);
    smcu_wire_u32(2u * session.next_sample);
    smcu_wire_u32(SMCU_RX_WINDOW);
    smcu_wire_send();
}

static void send_gap(uint32_t count)
{
    smcu_wire_begin(SMCU_PACKET_GAP);
    smcu_wire_u32(session.next_sample);
    smcu_wire_u32(count);
    smcu_wire_send();
}

static void send_started(void)
{
    smcu_wire_begin(SMCU_PACKET_STARTED);
    smcu_wire_u32(session.stream_id);
    smcu_wire_u32(SMCU_RX_WINDOW);
    smcu_wire_send();
}

static void send_done(void)
{
    smcu_wire_begin(SMCU_PACKET_DONE);
    smcu_wire_u32(session.stream_id);
    smcu_wire_u32(session.next_sample);
    smcu_wire_u32((uint32_t)smcu_stream.frames);
    smcu_wire_u32(smcu_results_count()->decisions);
    smcu_wire_u32(smcu_results_count()->events);
    smcu_wire_u32(session.missing_samples);
    smcu_wire_u64(smcu_stream.frontend_ticks);
    smcu_wire_u64(smcu_stream.network_ticks);
    smcu_wire_send();
}

size_t smcu_session_push(const int16_t *pcm, size_t n, smcu_result_t *result)
{
    smcu_port_alive();
    smcu_port_gate(true);
    const size_t taken = smcu_stream_push(&smcu_stream, pcm, n, result);
    smcu_port_gate(false);
    return taken;
}

static void push(const int16_t *pcm, size_t n)
{
    while (n > 0) {
        smcu_result_t result;
        const size_t taken = smcu_session_push(pcm, n, &result);

        pcm += taken;
        n -= taken;
        if (result.decided) {
            smcu_results_send(&result);
        }
    }
}

static void push_bytes(const uint8_t *bytes, size_t n_samples)
{
    while (n_samples > 0) {
        int16_t pcm[CHUNK_SAMPLES];
        const size_t n = (n_samples < CHUNK_SAMPLES) ? n_samples : CHUNK_SAMPLES;

        for (size_t i = 0; i < n; i++) {
            pcm[i] = (int16_t)smcu_bytes_u16(bytes + 2u * i);
        }
        push(pcm, n);
        bytes += 2u * n;
        n_samples -= n;
    }
}

static void push_zeros(size_t n)
{
    const int16_t zeros[CHUNK_SAMPLES] = {0};

    while (n > 0) {
        const size_t part = (n < CHUNK_SAMPLES) ? n : CHUNK_SAMPLES;

        push(zeros, part);
        n -= part;
    }
}

void smcu_session_start(const uint8_t *payload, size_t n)
{
    if (n != 8 || payload[0] > SOURCE_MIC || payload[1] > MODE_EXACT ||
        (payload[0] == SOURCE_MIC && payload[1] == MODE_EXACT)) {
        smcu_wire_error(SMCU_LINK_ERR_PAYLOAD, "START: source 0, mode 0 or 1; source 1, mode 0");
        return;
    }
    const uint32_t id = smcu_bytes_u32(payload + 4);
    if (!session.running || session.stream_id != id) {
        smcu_microphone_stop();
        memset(&session, 0, sizeof(session));
        session.mic = payload[0] == SOURCE_MIC;
        if (session.mic && !smcu_microphone_start()) {
            smcu_wire_error(SMCU_LINK_ERR_MICROPHONE, "this board has no microphone");
            return;
        }
        session.running = true;
        session.exact = payload[1] == MODE_EXACT;
        session.stream_id = id;
        smcu_results_start(id, smcu_bytes_u16(payload + 2));
        smcu_stream_reset(&smcu_stream);
    }
    send_started();
}

/* Audio from next_sample on is missing: announced, and in live mode replaced by silence. False when
 * the stream cannot go on behind it. */
static bool handle_gap(uint32_t count)
{
    send_gap(count);
    if (session.exact) {
        return false;
    }
    session.missing_samples += count;
    smcu_results_gap(session.next_sample + count);
    push_zeros(count);
    session.next_sample += count;
    return true;
}

void smcu_session_audio(const uint8_t *payload, size_t n)
{
    if (!session.running || session.mic) {
        smcu_wire_error(SMCU_LINK_ERR_STATE, "AUDIO outside a stream");
        return;
    }
    if (n < 4 || n % 2u != 0u) {
        smcu_wire_error(SMCU_LINK_ERR_PAYLOAD, "AUDIO: first_sample, then whole samples");
        return;
    }
    const uint32_t ahead = smcu_bytes_u32(payload) - session.next_sample;
    const uint32_t samples = (uint32_t)(n - 4u) / 2u;
    if (ahead >= 0x80000000u) { /* older: a doubled packet */
        smcu_session_send_credit();
        return;
    }
    if (ahead > MAX_GAP_SAMPLES) {
        smcu_wire_error(SMCU_LINK_ERR_PAYLOAD, "AUDIO: first_sample is more than 65 s ahead");
        return;
    }
    if (ahead > 0u && !handle_gap(ahead)) {
        return;
    }
    /* Its bytes have left the ring: the host may send on while the samples are computed. */
    session.next_sample += samples;
    smcu_session_send_credit();
    push_bytes(payload + 4, samples);
}

void smcu_session_poll(void)
{
    int16_t pcm[MIC_SAMPLES];
    uint32_t lost = 0;

    if (!session.running || !session.mic) {
        return;
    }
    const size_t n = smcu_microphone_take(pcm, MIC_SAMPLES, &lost);
    if (lost > 0u) {
        (void)handle_gap(lost);
    }
    if (n > 0u) {
        const uint32_t first = session.next_sample;

        session.next_sample += (uint32_t)n;
        smcu_results_heard(first, pcm, n, session.missing_samples);
        push(pcm, n);
    }
}

void smcu_session_stop(const uint8_t *payload, size_t n)
{
    if (n != 8) {
        smcu_wire_error(SMCU_LINK_ERR_PAYLOAD, "STOP has 8 bytes");
        return;
    }
    if (smcu_bytes_u32(payload) != session.stream_id || !(session.running || session.finished)) {
        smcu_wire_error(SMCU_LINK_ERR_STATE, "STOP of another stream");
        return;
    }
    if (session.running) {
        const uint32_t total = smcu_bytes_u32(payload + 4);
        const uint32_t ahead = session.mic ? 0u : total - session.next_sample;

        smcu_microphone_stop();
        if (ahead > MAX_GAP_SAMPLES) {
            smcu_wire_error(SMCU_LINK_ERR_PAYLOAD, "STOP: total_samples does not fit the stream");
            return;
        }
        if (ahead > 0u && !handle_gap(ahead)) {
            return;
        }
        push_zeros(smcu_stream_flush_samples(&smcu_stream));
        session.running = false;
        session.finished = true;
    }
    send_done();
}

void smcu_session_rule(const uint8_t *payload, size_t n)
{
    if (n != 4 || smcu_bytes_u16(payload) > SMCU_INTENT_ONE ||
        smcu_bytes_u16(payload + 2) > SMCU_INTENT_ONE) {
        smcu_wire_error(SMCU_LINK_ERR_PAYLOAD, "RULE: threshold and margin, 0..32768");
        return;
    }
    model.threshold = (uint16_t)smcu_bytes_u16(payload);
    model.min_margin = (uint16_t)smcu_bytes_u16(payload + 2);
    smcu_wire_begin(SMCU_PACKET_RULE_ACK);
    smcu_wire_u16(model.threshold);
    smcu_wire_u16(model.min_margin);
    smcu_wire_send();
}

void smcu_session_selftest(void)
{
    if (session.running) {
        smcu_wire_error(SMCU_LINK_ERR_STATE, "SELFTEST in a stream");
        return;
    }
    smcu_session_abandon(); /* the stream's sums are overwritten: no DONE can be repeated */
    smcu_results_start(0, 0);
    const smcu_selftest_result_t result = smcu_selftest_run(&smcu_stream);
    smcu_wire_begin(SMCU_PACKET_SELFTEST_ACK);
    smcu_wire_u16(result.vectors);
    smcu_wire_u16(result.passed);
    smcu_wire_u16(result.first_bad);
    smcu_wire_u16(0);
    smcu_wire_send();
}

#ifdef SMCU_ENERGY

void smcu_session_measure(const uint8_t *payload, size_t n)
{
    if (session.running) {
        smcu_wire_error(SMCU_LINK_ERR_STATE, "MEASURE in a stream");
        return;
    }
    smcu_session_abandon();
    smcu_results_start(0, 0);
    smcu_measure(&smcu_stream, payload, n);
}

#endif

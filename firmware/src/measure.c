#include "measure.h"

#ifdef SMCU_ENERGY

#include "bytes.h"
#include "i2c.h"
#include "ina.h"
#include "port.h"
#include "wire.h"

#define CHUNK_SAMPLES 160u
#define SETTLE_US 20000u /* the UART's last byte leaves, the supply settles */
#define METER_NONE 0u
#define METER_LAST 3u

/* Of MEASURE. */
typedef struct {
    uint16_t run;
    uint16_t inferences; /* at least */
    uint32_t window_us;  /* at least */
    uint32_t idle_us;
    bool has_meter;
} plan_t;

typedef struct {
    uint32_t begin_us, end_us;
    smcu_ina_reading_t reading;
} window_t;

static smcu_ina_t ina;

/* The run measured last: a repeated MEASURE is answered with it again. */
static struct {
    bool measured;
    uint16_t run;
    uint32_t inferences;
    window_t idle, gate;
} last;

/* The audio of the model's first self-test over and over; silence where it has none. */
typedef struct {
    smcu_selftest_t test;
    uint32_t at;
} audio_t;

static void next_chunk(audio_t *audio, int16_t *pcm)
{
    for (uint32_t i = 0; i < CHUNK_SAMPLES; i++) {
        audio->at = (audio->at + 1u < audio->test.n_samples) ? audio->at + 1u : 0u;
        pcm[i] = (audio->test.n_samples == 0u)
                     ? (int16_t)0
                     : (int16_t)smcu_bytes_u16(audio->test.pcm + 2u * audio->at);
    }
}

/* Until the next decision. */
static void infer(smcu_stream_t *stream, audio_t *audio)
{
    smcu_result_t result = {0};

    while (!result.decided) {
        int16_t pcm[CHUNK_SAMPLES];

        smcu_port_alive();
        next_chunk(audio, pcm);
        for (size_t taken = 0; taken < CHUNK_SAMPLES && !result.decided;) {
            taken += smcu_stream_push(stream, pcm + taken, CHUNK_SAMPLES - taken, &result);
        }
    }
}

static void idle_for(uint32_t us)
{
    const uint32_t start = smcu_port_micros();

    while (smcu_port_micros() - start < us) {
        smcu_port_alive();
        smcu_port_wait();
    }
}

static void begin(const plan_t *plan, window_t *window, uint32_t window_us)
{
    window->reading = (smcu_ina_reading_t){0};
    if (plan->has_meter) {
        window->reading.flags = smcu_ina_begin(&ina, window_us);
    }
    window->begin_us = smcu_port_micros();
}

static void end(const plan_t *plan, window_t *window)
{
    if (plan->has_meter && window->reading.flags == 0u) {
        smcu_ina_end(&ina, &window->reading);
    }
}

static void idle_window(const plan_t *plan, window_t *window)
{
    begin(plan, window, plan->idle_us);
    idle_for(plan->idle_us);
    window->end_us = smcu_port_micros();
    end(plan, window);
}

static uint32_t gate_window(const plan_t *plan, window_t *window, smcu_stream_t *stream)
{
    audio_t audio = {.at = 0};
    uint32_t done = 0;

    if (stream->net.model->n_selftests > 0u) {
        smcu_model_selftest(stream->net.model, 0, &audio.test);
    }
    smcu_stream_reset(stream);
    infer(stream, &audio); /* the first one fills windows and rings */
    begin(plan, window, plan->window_us);
    smcu_port_gate(true);
    window->begin_us = smcu_port_micros();
    while (done < plan->inferences || smcu_port_micros() - window->begin_us < plan->window_us) {
        infer(stream, &audio);
        done++;
    }
    window->end_us = smcu_port_micros();
    smcu_port_gate(false);
    end(plan, window);
    smcu_stream_reset(stream);
    return done;
}

static void send_window(const window_t *window)
{
    smcu_wire_u32(window->begin_us);
    smcu_wire_u32(window->end_us);
    smcu_wire_u64((uint64_t)window->reading.current_na);
    smcu_wire_u64((uint64_t)window->reading.power_nw);
    smcu_wire_u32(window->reading.bus_uv);
    smcu_wire_u32(window->reading.covered_us);
    smcu_wire_u32(window->reading.flags);
}

static void send_last(void)
{
    smcu_wire_begin(SMCU_PACKET_ENERGY);
    smcu_wire_u16(last.run);
    smcu_wire_u16(0);
    smcu_wire_u32(last.inferences);
    send_window(&last.idle);
    send_window(&last.gate);
    smcu_wire_send();
}

static void run(const plan_t *plan, smcu_stream_t *stream)
{
    smcu_wire_begin(SMCU_PACKET_MEASURING);
    smcu_wire_u16(plan->run);
    smcu_wire_u16(0);
    smcu_wire_send();
    smcu_port_gate(false);
    idle_for(SETTLE_US);
    idle_window(plan, &last.idle);
    last.inferences = gate_window(plan, &last.gate, stream);
    last.run = plan->run;
    last.measured = true;
    send_last();
}

void smcu_measure(smcu_stream_t *stream, const uint8_t *payload, size_t n)
{
    if (n != 16 || payload[8] > METER_LAST || (payload[8] != 0u && smcu_bytes_u32(payload + 12) == 0u)) {
        smcu_wire_error(SMCU_LINK_ERR_PAYLOAD, "MEASURE has 16 bytes, meter 0 to 3, a shunt");
        return;
    }
    if (last.measured && last.run == smcu_bytes_u16(payload)) {
        send_last();
        return;
    }
    const plan_t plan = {.run = (uint16_t)smcu_bytes_u16(payload),
                         .inferences = (uint16_t)smcu_bytes_u16(payload + 2),
                         .window_us = smcu_bytes_u16(payload + 4) * 1000u,
                         .idle_us = smcu_bytes_u16(payload + 6) * 1000u,
                         .has_meter = payload[8] != METER_NONE};
#ifdef SMCU_I2C
    ina.bus = (smcu_ina_bus_t){smcu_i2c_write, smcu_i2c_read, smcu_port_micros};
    ina.part = (smcu_ina_part_t)payload[8];
    ina.address = payload[9];
    ina.shunt_uohm = smcu_bytes_u32(payload + 12);
    smcu_port_i2c_start();
#else
    if (plan.has_meter) {
        smcu_wire_error(SMCU_LINK_ERR_STATE, "this board's file names no I2C pins");
        return;
    }
#endif
    run(&plan, stream);
}

#endif

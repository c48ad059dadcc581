#include "info.h"

#include <stdint.h>
#include <string.h>

#include "frontend_tables.h"
#include "microphone.h"
#include "port.h"
#include "push.h"
#include "results.h"
#include "session.h"
#include "slots.h"
#include "standalone.h"
#include "text.h"
#include "version.h"
#include "wire.h"

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif
#ifdef SMCU_I2C
#define SMCU_ENERGY_PINS "gate,i2c"
#else
#define SMCU_ENERGY_PINS "gate"
#endif
#define LINE_BYTES 512u /* more than any line, but `slots` of a very wordy model: see there */

/* Lines are never torn: a packet that could not take another whole line is sent first. */
static void line_start(const char *key)
{
    if (smcu_wire_room() < LINE_BYTES) {
        smcu_wire_send();
        smcu_wire_begin(SMCU_PACKET_INFO);
    }
    smcu_wire_text(key);
    smcu_wire_text("=");
}

static void text_line(const char *key, const char *value)
{
    line_start(key);
    smcu_wire_text(value);
    smcu_wire_text("\n");
}

static void number_line(const char *key, uint32_t value)
{
    char digits[11];

    text_line(key, smcu_text_digits(value, digits));
}

static void hex_line(const char *key, const uint8_t *bytes, size_t n)
{
    static const char digit[] = "0123456789abcdef";

    line_start(key);
    for (size_t i = 0; i < n; i++) {
        smcu_wire_u8((uint8_t)digit[bytes[i] >> 4]);
        smcu_wire_u8((uint8_t)digit[bytes[i] & 15u]);
    }
    smcu_wire_text("\n");
}

/* slots=name:label|label;name:label|label, without the command head; labels that do not fit into
 * a packet are left out from the end, so that the line stays whole. */
static void slots_line(const smcu_model_t *model)
{
    smcu_wire_send();
    smcu_wire_begin(SMCU_PACKET_INFO);
    smcu_wire_text("slots=");
    for (uint32_t h = 0; h + 1u < model->n_heads; h++) {
        smcu_head_t head;

        smcu_model_head(model, h, &head);
        if (strlen(head.name) + 3u > smcu_wire_room()) {
            break;
        }
        smcu_wire_text(h == 0u ? "" : ";");
        smcu_wire_text(head.name);
        for (uint32_t c = 0; c < head.n_classes; c++) {
            const char *label = smcu_model_label(model, h, c);

            if (strlen(label) + 2u > smcu_wire_room()) {
                break;
            }
            smcu_wire_text(c == 0u ? ":" : "|");
            smcu_wire_text(label);
        }
    }
    smcu_wire_text("\n");
}

static void model_lines(const smcu_model_t *model)
{
    text_line("model", smcu_model_name(model));
    hex_line("model_sha256", smcu_model_sha256(model), 32);
    number_line("logits", model->n_logits);
    number_line("hop_frames", model->hop_frames);
    number_line("look_back_samples", smcu_results_look_back());
    slots_line(model);
}

#ifdef SMCU_PUSH

static void slot_lines(uint32_t slot)
{
    static const char *const keys[SMCU_SLOTS][6] = {
        {"slot_a", "slot_a_why", "slot_a_tries", "slot_a_generation", "slot_a_bytes",
         "slot_a_sha256"},
        {"slot_b", "slot_b_why", "slot_b_tries", "slot_b_generation", "slot_b_bytes",
         "slot_b_sha256"},
    };
    smcu_slot_header_t header;

    text_line(keys[slot][0], smcu_slots_state_name(smcu_slots_state(slot)));
    text_line(keys[slot][1], smcu_push_why(slot));
    if (smcu_slots_header(slot, &header)) {
        number_line(keys[slot][2], smcu_slots_tries_left(slot));
        number_line(keys[slot][3], header.generation);
        number_line(keys[slot][4], header.bytes);
        hex_line(keys[slot][5], header.sha256, sizeof(header.sha256));
    }
}

static void push_lines(void)
{
    static const char *const names[] = {"a", "b"};
    const uint32_t running = smcu_push_running();

    number_line("slot_room", smcu_slots_room());
    if (smcu_slots_room() > 0u) {
        text_line("running", running == SMCU_SLOT_NONE ? "built-in" : names[running]);
        text_line("built_in_sha256", SMCU_MODEL_SHA256);
        text_line("signatures", "none");
        slot_lines(0);
        slot_lines(1);
    }
}

#else

static void push_lines(void)
{
}

#endif

#ifdef SMCU_STANDALONE
static void alone_lines(const smcu_standalone_count_t *count)
{
    number_line("alone_ms", count->alone_ms);
    number_line("slept_ms", count->slept_ms);
    number_line("heard_hops", count->heard_hops);
    number_line("awake_hops", count->awake_hops);
}
#endif

void smcu_info_send(smcu_status_t model_status)
{
    const smcu_port_info_t *port = smcu_port_info();
    const uint32_t frontend = SMCU_FRONTEND_ID;
    const uint8_t id[4] = {(uint8_t)(frontend >> 24), (uint8_t)(frontend >> 16),
                           (uint8_t)(frontend >> 8), (uint8_t)frontend};

    smcu_wire_begin(SMCU_PACKET_INFO);
    text_line("fw", "shiftmcu");
    text_line("fw_version", SMCU_FW_VERSION);
    text_line("link", "shlink/1");
    text_line("board", port->board);
    text_line("mcu", port->mcu);
    number_line("clock_hz", port->clock_hz);
    text_line("opt", "-O2");
    text_line("compiler", COMPILER);
    text_line("tick_unit", port->tick_unit);
    number_line("tick_hz", port->tick_hz);
    number_line("abi", SMCU_MODEL_ABI);
    hex_line("frontend_id", id, sizeof(id));
    number_line("arena_bytes", SMCU_ARENA_BYTES);
    number_line("state_bytes", (uint32_t)(sizeof(smcu_stream) - sizeof(smcu_frontend_t)));
    number_line("frontend_bytes", (uint32_t)sizeof(smcu_frontend_t));
    number_line("ring_bytes", SMCU_RX_RING_BYTES);
    text_line("microphone", smcu_microphone_kind());
    text_line("stand_alone", SMCU_STANDALONE_BUILT);
#ifdef SMCU_STANDALONE
    alone_lines(smcu_standalone_count());
#endif
#ifdef SMCU_ENERGY
    text_line("energy", SMCU_ENERGY_PINS);
#endif
    number_line("stack_free", smcu_port_stack_free());
    push_lines();
    text_line("model_status", smcu_status_name(model_status));
    if (model_status == SMCU_OK) {
        model_lines(smcu_session_model());
    }
    text_line("end", "1");
    smcu_wire_send();
}

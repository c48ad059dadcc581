#include "link.h"

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "frame.h"
#include "info.h"
#include "microphone.h"
#include "port.h"
#include "push.h"
#include "results.h"
#include "ring.h"
#include "session.h"
#include "standalone.h"
#include "wire.h"

#define LINK_VERSION 1u
#define HEARTBEAT_US 1000000u

/* The packet being received: decoded in place as its bytes come. */
smcu_frame_decoder_t smcu_packet;

static smcu_status_t model_status;
static uint32_t heartbeat_us;
static bool have_seq;
static uint16_t last_seq;

void smcu_link_init(void)
{
    smcu_frame_decoder_init(&smcu_packet);
    model_status = smcu_push_boot();
    heartbeat_us = smcu_port_micros();
    if (model_status == SMCU_OK) {
        (void)smcu_standalone_start();
    }
}

/* How the boot before this one crashed, told to every host of this boot. */
static void send_fault(void)
{
    const smcu_port_fault_t *fault = smcu_port_fault();

    if (fault == NULL) {
        return;
    }
    smcu_wire_begin(SMCU_PACKET_FAULT);
    smcu_wire_u32(fault->reason);
    smcu_wire_u32(fault->pc);
    smcu_wire_u32(fault->lr);
    smcu_wire_u32(fault->status);
    smcu_wire_send();
}

static void hello(const smcu_frame_t *packet)
{
    const smcu_port_info_t *port = smcu_port_info();

    if (packet->payload_bytes != 8) {
        smcu_wire_error(SMCU_LINK_ERR_PAYLOAD, "HELLO has 8 bytes");
        return;
    }
    if (packet->payload[0] > LINK_VERSION || packet->payload[1] < LINK_VERSION) {
        smcu_wire_error(SMCU_LINK_ERR_VERSION, "this firmware speaks shlink/1 only");
        return;
    }
    smcu_session_abandon();
    smcu_wire_begin(SMCU_PACKET_HELLO_ACK);
    smcu_wire_u8(LINK_VERSION);
    smcu_wire_u8(0);
    smcu_wire_u16(SMCU_WANT_ALL | (smcu_microphone_kind()[0] == 'n' ? 0u : SMCU_WANT_MIC));
    smcu_wire_u16(SMCU_MAX_PAYLOAD);
    smcu_wire_u16(0);
    smcu_wire_u32(SMCU_RX_WINDOW);
    smcu_wire_u32(port->boot_id);
    smcu_wire_u32(port->reset_reason);
    smcu_wire_u32(smcu_bytes_u32(packet->payload + 4));
    smcu_wire_send();
    send_fault();
}

static void ping(const smcu_frame_t *packet, uint32_t received_us)
{
    if (packet->payload_bytes != 4) {
        smcu_wire_error(SMCU_LINK_ERR_PAYLOAD, "PING has 4 bytes");
        return;
    }
    if (smcu_session_running()) {
        smcu_session_send_credit();
    }
    smcu_wire_begin(SMCU_PACKET_PONG);
    smcu_wire_u32(smcu_bytes_u32(packet->payload));
    smcu_wire_u32(received_us);
    smcu_wire_send();
}

#ifdef SMCU_STANDALONE
/* The host leaves: the board listens by itself. */
static void release(void)
{
    smcu_session_abandon();
    smcu_wire_begin(SMCU_PACKET_RELEASED);
    smcu_wire_send();
    (void)smcu_standalone_start();
}
#endif

/* Packets that need the model. */
static void stream_packet(const smcu_frame_t *packet)
{
    if (model_status != SMCU_OK) {
        smcu_wire_error(SMCU_LINK_ERR_MODEL, smcu_status_name(model_status));
        return;
    }
    switch (packet->type) {
    case SMCU_PACKET_START:
        smcu_session_start(packet->payload, packet->payload_bytes);
        break;
    case SMCU_PACKET_AUDIO:
        smcu_session_audio(packet->payload, packet->payload_bytes);
        break;
    case SMCU_PACKET_STOP:
        smcu_session_stop(packet->payload, packet->payload_bytes);
        break;
    case SMCU_PACKET_RULE:
        smcu_session_rule(packet->payload, packet->payload_bytes);
        break;
#ifdef SMCU_STANDALONE
    case SMCU_PACKET_RELEASE:
        release();
        break;
#endif
#ifdef SMCU_ENERGY
    case SMCU_PACKET_MEASURE:
        smcu_session_measure(packet->payload, packet->payload_bytes);
        break;
#endif
    default:
        smcu_session_selftest();
        break;
    }
}

static void dispatch(const smcu_frame_t *packet)
{
    const uint32_t received_us = smcu_port_micros();
    const bool doubled = have_seq && packet->seq == last_seq;

    have_seq = true;
    last_seq = packet->seq;
    if (doubled && packet->type != SMCU_PACKET_HELLO) { /* a new host's first HELLO may repeat it */
        return;
    }
    smcu_standalone_stop(); /* a host is there */
    switch (packet->type) {
    case SMCU_PACKET_HELLO:
        hello(packet);
        break;
    case SMCU_PACKET_INFO_REQ:
        smcu_info_send(model_status);
        break;
    case SMCU_PACKET_PING:
        ping(packet, received_us);
        break;
    case SMCU_PACKET_START:
    case SMCU_PACKET_AUDIO:
    case SMCU_PACKET_STOP:
    case SMCU_PACKET_RULE:
    case SMCU_PACKET_SELFTEST:
#ifdef SMCU_ENERGY
    case SMCU_PACKET_MEASURE:
#endif
#ifdef SMCU_STANDALONE
    case SMCU_PACKET_RELEASE:
#endif
        stream_packet(packet);
        break;
    default:
        if (!smcu_push_packet(packet, &model_status)) {
            smcu_wire_error(SMCU_LINK_ERR_UNKNOWN, "unknown packet type");
        }
        break;
    }
}

static void heartbeat(void)
{
    const uint32_t now_us = smcu_port_micros();

    if (now_us - heartbeat_us < HEARTBEAT_US || smcu_standalone_running()) {
        return; /* a terminal wants to read text only */
    }
    heartbeat_us = now_us;
    smcu_wire_begin(SMCU_PACKET_HEARTBEAT);
    smcu_wire_u32(now_us);
    smcu_wire_u32(smcu_packet.errors);
    smcu_wire_u32(smcu_rx_ring.overruns);
    smcu_wire_u32(smcu_session_running() ? 1u : 0u);
    smcu_wire_send();
}

void smcu_link_poll(void)
{
    uint8_t byte;

    while (smcu_ring_take(&smcu_rx_ring, &byte)) {
        const smcu_frame_t *packet = smcu_frame_decoder_put(&smcu_packet, byte);
        if (packet != NULL) {
            dispatch(packet);
            heartbeat();
        }
    }
    heartbeat();
}

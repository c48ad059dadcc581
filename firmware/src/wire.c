#include "wire.h"

#include <string.h>

#include "frame.h"
#include "port.h"

/* The packet under construction. */
static struct {
    uint16_t seq;
    uint16_t n; /* payload bytes so far */
    uint8_t type;
    uint8_t payload[SMCU_MAX_PAYLOAD];
    uint8_t encoded[SMCU_FRAME_ENCODED_MAX];
} smcu_tx_packet;

void smcu_wire_begin(uint8_t type)
{
    smcu_tx_packet.type = type;
    smcu_tx_packet.n = 0;
}

size_t smcu_wire_room(void)
{
    return SMCU_MAX_PAYLOAD - smcu_tx_packet.n;
}

void smcu_wire_bytes(const void *bytes, size_t n)
{
    if (n > smcu_wire_room()) {
        return;
    }
    memcpy(smcu_tx_packet.payload + smcu_tx_packet.n, bytes, n);
    smcu_tx_packet.n = (uint16_t)(smcu_tx_packet.n + n);
}

void smcu_wire_u8(uint32_t value)
{
    smcu_wire_bytes((const uint8_t[]){(uint8_t)value}, 1);
}

void smcu_wire_u16(uint32_t value)
{
    smcu_wire_u8(value);
    smcu_wire_u8(value >> 8);
}

void smcu_wire_u32(uint32_t value)
{
    smcu_wire_u16(value);
    smcu_wire_u16(value >> 16);
}

void smcu_wire_u64(uint64_t value)
{
    smcu_wire_u32((uint32_t)value);
    smcu_wire_u32((uint32_t)(value >> 32));
}

void smcu_wire_text(const char *text)
{
    smcu_wire_bytes(text, strlen(text));
}

void smcu_wire_send(void)
{
    const smcu_frame_t packet = {.type = smcu_tx_packet.type,
                                 .seq = smcu_tx_packet.seq++,
                                 .t_us = smcu_port_micros(),
                                 .payload = smcu_tx_packet.payload,
                                 .payload_bytes = smcu_tx_packet.n};

    smcu_port_write(smcu_tx_packet.encoded, smcu_frame_encode(&packet, smcu_tx_packet.encoded, sizeof(smcu_tx_packet.encoded)));
}

void smcu_wire_error(uint32_t code, const char *text)
{
    smcu_wire_begin(SMCU_PACKET_ERR);
    smcu_wire_u16(code);
    smcu_wire_text(text);
    smcu_wire_send();
}

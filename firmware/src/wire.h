/* Packets of shlink/1 as the other files of the firmware send them: numbers and helpers. */
#ifndef SMCU_WIRE_H
#define SMCU_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "ring.h"

enum {
    SMCU_PACKET_HELLO = 0x01,
    SMCU_PACKET_HELLO_ACK = 0x02,
    SMCU_PACKET_INFO_REQ = 0x03,
    SMCU_PACKET_INFO = 0x04,
    SMCU_PACKET_PING = 0x05,
    SMCU_PACKET_PONG = 0x06,
    SMCU_PACKET_RELEASE = 0x07,
    SMCU_PACKET_RELEASED = 0x08,
    SMCU_PACKET_START = 0x10,
    SMCU_PACKET_STOP = 0x11,
    SMCU_PACKET_STARTED = 0x12,
    SMCU_PACKET_DONE = 0x13,
    SMCU_PACKET_RULE = 0x18,
    SMCU_PACKET_RULE_ACK = 0x19,
    SMCU_PACKET_AUDIO = 0x20,
    SMCU_PACKET_CREDIT = 0x21,
    SMCU_PACKET_GAP = 0x22,
    SMCU_PACKET_AUDIO_UP = 0x23,
    SMCU_PACKET_EVENT = 0x30,
    SMCU_PACKET_LOGITS = 0x31,
    SMCU_PACKET_FEATURES = 0x32,
    SMCU_PACKET_TENSOR_OUT = 0x33,
    SMCU_PACKET_LAT = 0x34,
    SMCU_PACKET_LEVEL = 0x35,
    SMCU_PACKET_LAYER = 0x36,
    SMCU_PACKET_LOG = 0x40,
    SMCU_PACKET_HEARTBEAT = 0x41,
    SMCU_PACKET_ERR = 0x42,
    SMCU_PACKET_FAULT = 0x43,
    SMCU_PACKET_SELFTEST = 0x50,
    SMCU_PACKET_SELFTEST_ACK = 0x51,
    SMCU_PACKET_UP_BEGIN = 0x60,
    SMCU_PACKET_UP_CHUNK = 0x61,
    SMCU_PACKET_UP_END = 0x62,
    SMCU_PACKET_UP_TEST = 0x63,
    SMCU_PACKET_UP_COMMIT = 0x64,
    SMCU_PACKET_UP_RETIRE = 0x65,
    SMCU_PACKET_UP_ACK = 0x66,
    SMCU_PACKET_MEASURE = 0x70,
    SMCU_PACKET_MEASURING = 0x71,
    SMCU_PACKET_ENERGY = 0x72
};

enum {
    SMCU_LINK_ERR_UNKNOWN = 1,
    SMCU_LINK_ERR_PAYLOAD = 2,
    SMCU_LINK_ERR_STATE = 3,
    SMCU_LINK_ERR_VERSION = 4,
    SMCU_LINK_ERR_MODEL = 5,
    SMCU_LINK_ERR_SELFTEST = 6,
    SMCU_LINK_ERR_INTERNAL = 7,
    SMCU_LINK_ERR_MICROPHONE = 8
};

#define SMCU_MAX_PAYLOAD ((uint32_t)SMCU_FRAME_PAYLOAD_MAX)

/* Bytes of samples that the host may have under way. They arrive as packets of 256 bytes or more
 * (at most 9 % of framing); PING, STOP and other small packets need the last 128 bytes. */
#define SMCU_RX_WINDOW ((SMCU_RX_RING_BYTES - 128u) * 10u / 11u / 512u * 512u)

/* Little-endian payload under construction, in the one transmit buffer. */
void smcu_wire_begin(uint8_t type);
void smcu_wire_u8(uint32_t value);
void smcu_wire_u16(uint32_t value);
void smcu_wire_u32(uint32_t value);
void smcu_wire_u64(uint64_t value);
void smcu_wire_bytes(const void *bytes, size_t n);
void smcu_wire_text(const char *text);
/* Bytes that still fit. What does not fit is left out: callers that can reach it ask first. */
size_t smcu_wire_room(void);
void smcu_wire_send(void);

/* ERR with a code and a text. */
void smcu_wire_error(uint32_t code, const char *text);

#endif

/* Packets of the serial link (docs/protocol.md): COBS framing, CRC-32, no I/O.
 *
 *     COBS( type u8 | flags u8 | seq u16 | t_us u32 | payload 0..1024 | crc32 u32 ) 0x00
 *
 * Little-endian. The decoder takes any bytes whatsoever; what is not a whole packet with a right
 * CRC is counted and dropped, and the next 0x00 starts afresh.
 */
#ifndef SMCU_FRAME_H
#define SMCU_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SMCU_FRAME_PAYLOAD_MAX 1024 /* bytes */
#define SMCU_FRAME_HEADER_BYTES 8
#define SMCU_FRAME_CRC_BYTES 4
#define SMCU_FRAME_RAW_MAX (SMCU_FRAME_HEADER_BYTES + SMCU_FRAME_PAYLOAD_MAX + SMCU_FRAME_CRC_BYTES)
#define SMCU_FRAME_ENCODED_MAX (SMCU_FRAME_RAW_MAX + SMCU_FRAME_RAW_MAX / 254 + 2)

/* One packet. The payload belongs to somebody else. */
typedef struct {
    uint8_t type;
    uint8_t flags;
    uint16_t seq;
    uint32_t t_us;
    const uint8_t *payload;
    size_t payload_bytes; /* 0..1024 */
} smcu_frame_t;

/* The packet being received; owned by the caller, opaque but for the counter. */
typedef struct {
    uint8_t raw[SMCU_FRAME_RAW_MAX]; /* decoded as the bytes come */
    uint16_t used;                   /* bytes in raw */
    uint8_t code;                    /* code of the COBS group, 0 before the first */
    uint8_t left;                    /* bytes until the next code */
    bool damaged;                    /* too long: skip to the next 0x00 */
    uint32_t errors;                 /* pieces between two 0x00 that were not a packet */
    smcu_frame_t packet;
} smcu_frame_decoder_t;

/* CRC-32/IEEE as zlib's crc32(): start with crc = 0, or go on with an earlier result. */
uint32_t smcu_frame_crc32(uint32_t crc, const void *bytes, size_t n);

/* Bytes that a packet with this payload needs at most, its final 0x00 included. */
size_t smcu_frame_encoded_max(size_t payload_bytes);

/* Writes a packet and its 0x00. Returns the bytes written; 0 when the payload exceeds 1024 bytes
 * or out_bytes is below smcu_frame_encoded_max(). The payload must not overlap `out`. */
size_t smcu_frame_encode(const smcu_frame_t *packet, uint8_t *out, size_t out_bytes);

/* Forgets everything, the counter too. */
void smcu_frame_decoder_init(smcu_frame_decoder_t *decoder);

/* Takes one byte. Returns the packet that it completed, valid until the next call, or NULL. */
const smcu_frame_t *smcu_frame_decoder_put(smcu_frame_decoder_t *decoder, uint8_t byte);

#endif

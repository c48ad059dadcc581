#include "frame.h"

#include <string.h>

#include "bytes.h"

/* CRC of the 16 values of half a byte, polynomial 0xedb88320. */
static const uint32_t crc_of_nibble[16] = {
    0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u,
    0x4db26158u, 0x5005713cu, 0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu,
    0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu,
};

uint32_t smcu_frame_crc32(uint32_t crc, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        crc = (crc >> 4) ^ crc_of_nibble[crc & 15u];
        crc = (crc >> 4) ^ crc_of_nibble[crc & 15u];
    }
    return ~crc;
}

/* COBS under way: `code` is the place of the current group's code byte. */
typedef struct {
    uint8_t *code;
    uint8_t *next;
} stuffer_t;

static void open_group(stuffer_t *s)
{
    s->code = s->next++;
    *s->code = 1;
}

static void stuff(stuffer_t *s, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        /* A full group is closed only by a following byte: none is opened in vain. */
        if (*s->code == 0xff) {
            open_group(s);
        }
        if (bytes[i] == 0) {
            open_group(s);
        } else {
            *s->next++ = bytes[i];
            (*s->code)++;
        }
    }
}

static void put_u32(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
    p[2] = (uint8_t)(value >> 16);
    p[3] = (uint8_t)(value >> 24);
}

size_t smcu_frame_encoded_max(size_t payload_bytes)
{
    const size_t raw = SMCU_FRAME_HEADER_BYTES + payload_bytes + SMCU_FRAME_CRC_BYTES;
    return raw + raw / 254 + 2;
}

size_t smcu_frame_encode(const smcu_frame_t *packet, uint8_t *out, size_t out_bytes)
{
    uint8_t header[SMCU_FRAME_HEADER_BYTES] = {packet->type, packet->flags, (uint8_t)packet->seq,
                                               (uint8_t)(packet->seq >> 8)};
    uint8_t tail[SMCU_FRAME_CRC_BYTES];
    stuffer_t stuffer = {NULL, out};
    const size_t n = packet->payload_bytes;

    if (n > SMCU_FRAME_PAYLOAD_MAX || out_bytes < smcu_frame_encoded_max(n)) {
        return 0;
    }
    put_u32(header + 4, packet->t_us);
    const uint32_t crc = smcu_frame_crc32(0, header, sizeof header);
    put_u32(tail, smcu_frame_crc32(crc, packet->payload, n));
    open_group(&stuffer);
    stuff(&stuffer, header, sizeof header);
    stuff(&stuffer, packet->payload, n);
    stuff(&stuffer, tail, sizeof tail);
    *stuffer.next++ = 0;
    return (size_t)(stuffer.next - out);
}

static void start_over(smcu_frame_decoder_t *d)
{
    d->used = 0;
    d->code = 0;
    d->left = 0;
    d->damaged = false;
}

void smcu_frame_decoder_init(smcu_frame_decoder_t *decoder)
{
    decoder->errors = 0;
    start_over(decoder);
}

static void append(smcu_frame_decoder_t *d, uint8_t byte)
{
    if (d->used < SMCU_FRAME_RAW_MAX) {
        d->raw[d->used++] = byte;
    } else {
        d->damaged = true;
    }
}

/* The packet that a 0x00 closed, or NULL. */
static const smcu_frame_t *finish(smcu_frame_decoder_t *d)
{
    const uint8_t *raw = d->raw;
    if (d->damaged || d->left > 0 || d->used < SMCU_FRAME_HEADER_BYTES + SMCU_FRAME_CRC_BYTES) {
        return NULL;
    }
    const size_t body = (size_t)(d->used - SMCU_FRAME_CRC_BYTES);
    if (smcu_frame_crc32(0, raw, body) != smcu_bytes_u32(raw + body)) {
        return NULL;
    }
    d->packet = (smcu_frame_t){
        .type = raw[0],
        .flags = raw[1],
        .seq = (uint16_t)smcu_bytes_u16(raw + 2),
        .t_us = smcu_bytes_u32(raw + 4),
        .payload = raw + SMCU_FRAME_HEADER_BYTES,
        .payload_bytes = body - SMCU_FRAME_HEADER_BYTES,
    };
    return &d->packet;
}

const smcu_frame_t *smcu_frame_decoder_put(smcu_frame_decoder_t *d, uint8_t byte)
{
    if (byte == 0) {
        const bool empty = d->code == 0;
        const smcu_frame_t *packet = empty ? NULL : finish(d);
        d->errors += !empty && packet == NULL;
        start_over(d);
        return packet;
    }
    if (d->left > 0) {
        append(d, byte);
        d->left--;
        return NULL;
    }
    /* A group that is not full stands for a 0x00 after it, unless the packet ends there. */
    if (d->code != 0 && d->code != 0xff) {
        append(d, 0);
    }
    d->code = byte;
    d->left = (uint8_t)(byte - 1);
    return NULL;
}

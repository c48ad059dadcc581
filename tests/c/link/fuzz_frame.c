/* libFuzzer: any bytes into the decoder of packets, and any packet through encoder and decoder.
 *
 * First byte of an input: bit 0: the rest is a packet (type, flags, seq, t_us, then its payload)
 * that must come out of the decoder as it went in, whatever was on the line before the last 0x00.
 * Else the rest is the line's bytes; what the decoder takes for a packet must survive a second way
 * through encoder and decoder, and each piece between two 0x00 is a packet, an error or empty.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

#define FIELD_BYTES 8u /* of a packet before its payload */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool right, const char *what)
{
    if (!right) {
        fprintf(stderr, "wrong: %s\n", what);
        abort();
    }
}

static void require_same(const smcu_frame_t *a, const smcu_frame_t *b)
{
    require(a->type == b->type && a->flags == b->flags && a->seq == b->seq, "type, flags or seq");
    require(a->t_us == b->t_us && a->payload_bytes == b->payload_bytes, "time or length");
    require(memcmp(a->payload, b->payload, a->payload_bytes) == 0, "the payload");
}

/* Encodes `packet` and puts it into a decoder that may be in the middle of anything. */
static void there_and_back(smcu_frame_decoder_t *decoder, const smcu_frame_t *packet)
{
    uint8_t line[SMCU_FRAME_ENCODED_MAX];
    const smcu_frame_t *got = NULL;
    const size_t n = smcu_frame_encode(packet, line, sizeof(line));

    require(n > 0u && n <= smcu_frame_encoded_max(packet->payload_bytes), "the encoded length");
    require(memchr(line, 0, n) == &line[n - 1u], "a 0x00 inside");
    (void)smcu_frame_decoder_put(decoder, 0);
    for (size_t i = 0; i < n; i++) {
        require(got == NULL, "a packet before its end");
        got = smcu_frame_decoder_put(decoder, line[i]);
    }
    require(got != NULL, "a packet that was not accepted");
    require_same(packet, got);
}

static void from_line(const uint8_t *data, size_t size)
{
    static uint8_t payload[SMCU_FRAME_PAYLOAD_MAX];
    smcu_frame_decoder_t decoder;
    uint32_t packets = 0;
    uint32_t pieces = 0;

    smcu_frame_decoder_init(&decoder);
    for (size_t i = 0; i < size; i++) {
        const smcu_frame_t *got = smcu_frame_decoder_put(&decoder, data[i]);
        pieces += (data[i] == 0u && i > 0u && data[i - 1u] != 0u) ? 1u : 0u;
        if (got != NULL) {
            smcu_frame_decoder_t other;
            smcu_frame_t copy = *got;
            memcpy(payload, got->payload, got->payload_bytes);
            copy.payload = payload;
            smcu_frame_decoder_init(&other);
            there_and_back(&other, &copy);
            packets++;
        }
    }
    require(packets + decoder.errors == pieces, "the count of packets and errors");
}

static void from_fields(const uint8_t *data, size_t size)
{
    smcu_frame_decoder_t decoder;
    const smcu_frame_t packet = {
        .type = data[0],
        .flags = data[1],
        .seq = (uint16_t)(data[2] | data[3] << 8),
        .t_us = (uint32_t)data[4] | (uint32_t)data[5] << 8 | (uint32_t)data[6] << 16 |
                (uint32_t)data[7] << 24,
        .payload = data + FIELD_BYTES,
        .payload_bytes = (size - FIELD_BYTES < SMCU_FRAME_PAYLOAD_MAX) ? size - FIELD_BYTES
                                                                       : SMCU_FRAME_PAYLOAD_MAX,
    };

    smcu_frame_decoder_init(&decoder);
    for (size_t i = 0; i < size; i++) {
        (void)smcu_frame_decoder_put(&decoder, data[i]);
    }
    there_and_back(&decoder, &packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0u && (data[0] & 1u) == 0u) {
        from_line(data + 1, size - 1u);
    } else if (size > FIELD_BYTES) {
        from_fields(data + 1, size - 1u);
    }
    return 0;
}

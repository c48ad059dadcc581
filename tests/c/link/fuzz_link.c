/* libFuzzer: any bytes on the board's line. The whole firmware but main and the port's socket runs:
 * decoder, handshake, streams, self-test, answers. Everything it sends must be a right packet.
 *
 * First byte of an input: MODE. Bit 7: the rest goes onto the line as it is. Else the rest is a row
 * of records `type u8 | length u16 | payload` that are sent as right packets, so that the walk goes
 * deep. Sample indices are cut to SHORT_MASK, as the silence that stands in for lost audio takes the
 * board long; bit 6: instead they are put beyond what it may stand in for.
 *
 * Built with FUZZ_MAIN it is a program without libFuzzer: it runs every file named on its command line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "link.h"
#include "port.h"
#include "port_native_flash.h"
#include "ring.h"
#include "session.h"
#include "wire.h"

#define MODE_RAW 0x80u
#define MODE_FAR 0x40u
#define SHORT_MASK 0x03ffu /* 64 ms of samples */
#define FAR_BYTE 0x40u     /* in the highest byte of an index: 4 h */
#define STEP_US 50000u     /* between two records: heartbeats come too */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

smcu_ring_t smcu_rx_ring;

static const uint8_t separator = 0;

static uint32_t now_us;
static smcu_frame_decoder_t host; /* the other end of the line */
static uint16_t expected_seq;
static bool have_seq;

uint32_t smcu_port_micros(void)
{
    return now_us;
}

static void require(bool right, const char *what)
{
    if (!right) {
        fprintf(stderr, "the board sent %s\n", what);
        abort();
    }
}

/* What the host sees: one right packet per write, numbered without a gap, of a board's type. */
void smcu_port_write(const uint8_t *bytes, size_t n)
{
    const smcu_frame_t *packet = NULL;

    for (size_t i = 0; i < n; i++) {
        require(packet == NULL, "bytes behind a packet");
        packet = smcu_frame_decoder_put(&host, bytes[i]);
    }
    require(packet != NULL && host.errors == 0u, "no whole packet");
    require(!have_seq || packet->seq == expected_seq, "a wrong number");
    require(packet->type != SMCU_PACKET_HELLO && packet->type != SMCU_PACKET_AUDIO, "a host's packet");
    have_seq = true;
    expected_seq = (uint16_t)(packet->seq + 1u);
}

static void receive(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        smcu_ring_put(&smcu_rx_ring, bytes[i]);
        if (smcu_ring_used(&smcu_rx_ring) == SMCU_RX_RING_BYTES) {
            smcu_link_poll();
        }
    }
    smcu_link_poll();
    smcu_session_poll();
}

/* Cuts AUDIO's first_sample and STOP's total_samples, where they are, or puts them far away. */
static void place(uint8_t type, uint8_t *payload, size_t n, bool far)
{
    const size_t at = (type == SMCU_PACKET_STOP) ? 4u : 0u;

    if ((type == SMCU_PACKET_AUDIO || type == SMCU_PACKET_STOP) && n >= at + 4u) {
        payload[at + 1u] &= (uint8_t)(SHORT_MASK >> 8);
        payload[at + 2u] = 0;
        payload[at + 3u] = far ? FAR_BYTE : 0;
    }
}

static void send_records(const uint8_t *data, size_t size, bool far)
{
    static uint8_t payload[SMCU_FRAME_PAYLOAD_MAX];
    static uint8_t encoded[SMCU_FRAME_ENCODED_MAX];
    uint16_t seq = 0;

    while (size >= 3u) {
        size_t n = ((size_t)data[1] | (size_t)data[2] << 8) % (SMCU_FRAME_PAYLOAD_MAX + 1u);
        const uint8_t type = data[0];

        data += 3;
        size -= 3u;
        n = (n < size) ? n : size;
        memcpy(payload, data, n);
        place(type, payload, n, far);
        const smcu_frame_t packet = {
            .type = type, .seq = seq++, .payload = payload, .payload_bytes = n};
        receive(encoded, smcu_frame_encode(&packet, encoded, sizeof(encoded)));
        data += n;
        size -= n;
        now_us += STEP_US;
    }
    receive(data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;

    if (size == 0) {
        return 0;
    }
    if (!ready) {
        smcu_frame_decoder_init(&host);
        require(smcu_native_flash_open(NULL), "nothing: no memory for its slots");
        smcu_link_init();
        ready = true;
    }
    smcu_session_abandon();
    receive(&separator, 1); /* ends what the input before left in the decoder */
    if ((data[0] & MODE_RAW) != 0u) {
        receive(data + 1, size - 1u);
    } else {
        send_records(data + 1, size - 1u, (data[0] & MODE_FAR) != 0u);
    }
    return 0;
}

#ifdef FUZZ_MAIN
int main(int argc, char **argv)
{
    static uint8_t data[1 << 16];

    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (file == NULL) {
            return 2;
        }
        (void)LLVMFuzzerTestOneInput(data, fread(data, 1, sizeof(data), file));
        fclose(file);
    }
    return 0;
}
#endif

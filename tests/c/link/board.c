/* The firmware as a library: bytes of the line in, bytes of the line out, and a clock that its caller
 * moves. What a second of waiting costs is then nothing, and the same bytes give the same answers.
 */
#include <stdbool.h>
#include <string.h>

#include "link.h"
#include "port.h"
#include "port_native_flash.h"
#include "ring.h"
#include "session.h"

#define ANSWER_BYTES (1u << 22)

bool board_init(void);
size_t board_receive(const uint8_t *bytes, size_t n, uint32_t at_us);
const uint8_t *board_answer(void);

smcu_ring_t smcu_rx_ring;

static uint32_t now_us;
static uint8_t answer[ANSWER_BYTES];
static size_t answer_bytes;

uint32_t smcu_port_micros(void)
{
    return now_us;
}

void smcu_port_write(const uint8_t *bytes, size_t n)
{
    if (n <= sizeof(answer) - answer_bytes) {
        memcpy(answer + answer_bytes, bytes, n);
        answer_bytes += n;
    }
}

/* Boots, with empty model slots the first time; false: no memory for them. */
bool board_init(void)
{
    static bool is_open;

    is_open = is_open || smcu_native_flash_open(NULL);
    if (is_open) {
        smcu_link_init();
    }
    return is_open;
}

/* Takes n bytes at time at_us; returns how many bytes it answers: see board_answer. */
size_t board_receive(const uint8_t *bytes, size_t n, uint32_t at_us)
{
    now_us = at_us;
    answer_bytes = 0;
    for (size_t i = 0; i < n; i++) {
        smcu_ring_put(&smcu_rx_ring, bytes[i]);
        if (smcu_ring_used(&smcu_rx_ring) == SMCU_RX_RING_BYTES) {
            smcu_link_poll();
        }
    }
    smcu_link_poll();
    smcu_session_poll();
    return answer_bytes;
}

const uint8_t *board_answer(void)
{
    return answer;
}

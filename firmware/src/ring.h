/* Receive ring: one writer (an interrupt or the port), one reader (the main loop). */
#ifndef SMCU_RING_H
#define SMCU_RING_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of encoded packets that can wait; a power of two. The link's window is derived from it. */
#ifndef SMCU_RX_RING_BYTES
#define SMCU_RX_RING_BYTES 2048u
#endif

typedef struct {
    volatile uint32_t put;      /* bytes ever written, modulo 2^32 */
    volatile uint32_t taken;    /* bytes ever read, modulo 2^32 */
    volatile uint32_t overruns; /* bytes lost: the ring was full, or the UART was not read in time */
    uint8_t bytes[SMCU_RX_RING_BYTES];
} smcu_ring_t;

extern smcu_ring_t smcu_rx_ring;

/* Bytes waiting, 0..SMCU_RX_RING_BYTES. */
static inline uint32_t smcu_ring_used(const smcu_ring_t *ring)
{
    return ring->put - ring->taken;
}

/* Writer's side: appends a byte, or counts it as lost when the ring is full. */
static inline void smcu_ring_put(smcu_ring_t *ring, uint8_t byte)
{
    const uint32_t put = ring->put;

    if (put - ring->taken >= SMCU_RX_RING_BYTES) {
        ring->overruns++;
        return;
    }
    ring->bytes[put % SMCU_RX_RING_BYTES] = byte;
    ring->put = put + 1u;
}

/* Reader's side: takes the oldest byte; false when there is none. */
static inline bool smcu_ring_take(smcu_ring_t *ring, uint8_t *byte)
{
    const uint32_t taken = ring->taken;

    if (ring->put == taken) {
        return false;
    }
    *byte = ring->bytes[taken % SMCU_RX_RING_BYTES];
    ring->taken = taken + 1u;
    return true;
}

#endif

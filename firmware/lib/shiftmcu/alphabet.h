/* Power-of-two weight alphabets (docs/numerics.md, section 2). */
#ifndef SMCU_ALPHABET_H
#define SMCU_ALPHABET_H

#include <stdint.h>

#define SMCU_ALPHABET_COUNT 6
#define SMCU_ALPHABET_CODES 16 /* at most 4 bits */

typedef struct {
    uint8_t bits;                        /* per code, 2..4; the top bit is the sign */
    uint8_t max_abs;                     /* greatest |weight|, 1..128 */
    uint8_t invalid;                     /* the code that means nothing, 0 when there is none */
    int16_t weight[SMCU_ALPHABET_CODES]; /* 0 or +-2^k; 0 at the invalid code */
} smcu_alphabet_t;

/* id: 0..SMCU_ALPHABET_COUNT-1. */
const smcu_alphabet_t *smcu_alphabet_get(uint32_t id);

/* Bytes that `taps` codes of one output channel take: every channel starts on a byte. */
static inline uint32_t smcu_alphabet_channel_bytes(const smcu_alphabet_t *alphabet, uint32_t taps)
{
    return (taps * alphabet->bits + 7u) >> 3;
}

#endif

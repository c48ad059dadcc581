/* Weight alphabets (docs/numerics.md, section 2): powers of two, and int8 to compare them with. */
#ifndef SMCU_ALPHABET_H
#define SMCU_ALPHABET_H

#include <stdint.h>

#define SMCU_ALPHABET_COUNT 9
#define SMCU_ALPHABET_CODES 16 /* of the alphabets with a table, at most: 4 bits */

typedef struct {
    uint8_t bits;    /* per code, 2..4, or 8 for int8; the top bit is the sign */
    uint8_t max_abs; /* greatest |weight|, 1..128 */
    uint8_t invalid; /* the code that means nothing, 0 when there is none */
    uint8_t magnitude[SMCU_ALPHABET_CODES / 2]; /* 0 or 2^k of a code without its sign; not of int8 */
} smcu_alphabet_t;

/* id: 0..SMCU_ALPHABET_COUNT-1. */
const smcu_alphabet_t *smcu_alphabet_get(uint32_t id);

/* 0 at the invalid code. The code of an int8 weight is the weight, in two's complement. */
static inline int32_t smcu_alphabet_weight(const smcu_alphabet_t *alphabet, uint32_t code)
{
    if (alphabet->bits == 8) {
        return (int8_t)(uint8_t)code;
    }
    const uint32_t sign = 1u << (alphabet->bits - 1u);
    const int32_t magnitude = alphabet->magnitude[code & (sign - 1u)];
    return (code & sign) != 0 ? -magnitude : magnitude;
}

/* Bytes that `taps` codes of one output channel take: every channel starts on a byte. */
static inline uint32_t smcu_alphabet_channel_bytes(const smcu_alphabet_t *alphabet, uint32_t taps)
{
    return (taps * alphabet->bits + 7u) >> 3;
}

#endif

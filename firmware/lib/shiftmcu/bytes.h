/* Little-endian numbers at any address. */
#ifndef SMCU_BYTES_H
#define SMCU_BYTES_H

#include <stdint.h>

static inline uint32_t smcu_bytes_u16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

/* For loops; a core without unaligned loads takes ten instructions. */
static inline uint32_t smcu_bytes_inline_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline int32_t smcu_bytes_i32(const uint8_t *p)
{
    return (int32_t)smcu_bytes_inline_u32(p);
}

/* For everything else. */
uint32_t smcu_bytes_u32(const uint8_t *p);

/* Shifts of negative numbers must be arithmetic (docs/numerics.md), as on every compiler we know. */
typedef char smcu_bytes_shift_is_arithmetic[(-1 >> 1) == -1 ? 1 : -1];

#endif

#include "kernels.h"

#include "bytes.h"

/* Eight codes, least significant first. */
static inline uint32_t load_2(const uint8_t *p)
{
    return smcu_bytes_u16(p);
}

static inline uint32_t load_3(const uint8_t *p)
{
    return smcu_bytes_u16(p) | (uint32_t)p[2] << 16;
}

/* Fewer than eight codes at the end of a channel, whose bytes end there too. */
static uint32_t load_rest(const uint8_t *p, uint32_t bits, uint32_t taps)
{
    uint32_t group = 0;
    for (uint32_t shift = 0; shift < bits * taps; shift += 8) {
        group |= (uint32_t)*p++ << shift;
    }
    return group;
}

#define WEIGHT(group, bits, i) table[((group) >> ((i) * (bits))) & ((1u << (bits)) - 1u)]

#define LANES_1_TAP(bits, i)            \
    do {                                \
        const uint32_t xi = x[i];       \
        a += WEIGHT(ga, bits, i) * xi;  \
        b += WEIGHT(gb, bits, i) * xi;  \
    } while (0)

#define LANES_2_TAP(bits, i)                    \
    do {                                        \
        const uint32_t wa = WEIGHT(ga, bits, i); \
        const uint32_t wb = WEIGHT(gb, bits, i); \
        const uint32_t xi = x[i];               \
        const uint32_t yi = y[i];               \
        a0 += wa * xi;                          \
        a1 += wa * yi;                          \
        b0 += wb * xi;                          \
        b1 += wb * yi;                          \
    } while (0)

#define EIGHT(TAP, bits) \
    TAP(bits, 0);        \
    TAP(bits, 1);        \
    TAP(bits, 2);        \
    TAP(bits, 3);        \
    TAP(bits, 4);        \
    TAP(bits, 5);        \
    TAP(bits, 6);        \
    TAP(bits, 7)

#define LANES_1(bits)                                         \
    for (; taps >= SMCU_KERNELS_GROUP; taps -= SMCU_KERNELS_GROUP) { \
        const uint32_t ga = load_##bits(pa);                  \
        const uint32_t gb = load_##bits(pb);                  \
        pa += bits;                                           \
        pb += bits;                                           \
        EIGHT(LANES_1_TAP, bits);                             \
        x += SMCU_KERNELS_GROUP;                              \
    }

#define LANES_2(bits)                                         \
    for (; taps >= SMCU_KERNELS_GROUP; taps -= SMCU_KERNELS_GROUP) { \
        const uint32_t ga = load_##bits(pa);                  \
        const uint32_t gb = load_##bits(pb);                  \
        pa += bits;                                           \
        pb += bits;                                           \
        EIGHT(LANES_2_TAP, bits);                             \
        x += SMCU_KERNELS_GROUP;                              \
        y += SMCU_KERNELS_GROUP;                              \
    }

void smcu_kernels_lanes_1(uint32_t bits, const uint32_t *table, const uint8_t *const codes[2],
                          const uint32_t *x, uint32_t taps, uint32_t sums[2])
{
    const uint8_t *pa = codes[0];
    const uint8_t *pb = codes[1];
    uint32_t a = 0;
    uint32_t b = 0;
    if (bits == 2) {
        LANES_1(2)
    } else {
        LANES_1(3)
    }
    uint32_t ga = load_rest(pa, bits, taps);
    uint32_t gb = load_rest(pb, bits, taps);
    for (; taps > 0; taps--) {
        const uint32_t xi = *x++;
        a += WEIGHT(ga, bits, 0) * xi;
        b += WEIGHT(gb, bits, 0) * xi;
        ga >>= bits;
        gb >>= bits;
    }
    sums[0] = a;
    sums[1] = b;
}

void smcu_kernels_lanes_2(uint32_t bits, const uint32_t *table, const uint8_t *const codes[2],
                          const uint32_t *x, uint32_t step, uint32_t taps, uint32_t sums[4])
{
    const uint8_t *pa = codes[0];
    const uint8_t *pb = codes[1];
    const uint32_t *y = x + step;
    uint32_t a0 = 0;
    uint32_t a1 = 0;
    uint32_t b0 = 0;
    uint32_t b1 = 0;
    if (bits == 2) {
        LANES_2(2)
    } else {
        LANES_2(3)
    }
    uint32_t ga = load_rest(pa, bits, taps);
    uint32_t gb = load_rest(pb, bits, taps);
    for (; taps > 0; taps--) {
        const uint32_t wa = WEIGHT(ga, bits, 0);
        const uint32_t wb = WEIGHT(gb, bits, 0);
        const uint32_t xi = *x++;
        const uint32_t yi = *y++;
        a0 += wa * xi;
        a1 += wa * yi;
        b0 += wb * xi;
        b1 += wb * yi;
        ga >>= bits;
        gb >>= bits;
    }
    sums[0] = a0;
    sums[1] = a1;
    sums[2] = b0;
    sums[3] = b1;
}

/* Bits of the even codes of a group: every second field. */
#define EVEN_2 0x3333u
#define EVEN_3 0x1c71c7u

#define PAIR_TAP(bits, word, field, i) sum += WEIGHT(word, 2 * (bits), field) * x[i]

#define PAIR(bits)                                                              \
    for (; taps >= SMCU_KERNELS_GROUP; taps -= SMCU_KERNELS_GROUP) {            \
        const uint32_t ga = load_##bits(pa);                                    \
        const uint32_t gb = load_##bits(pb);                                    \
        const uint32_t even = (ga & EVEN_##bits) | ((gb & EVEN_##bits) << bits); \
        const uint32_t odd = ((ga >> bits) & EVEN_##bits) | (gb & (EVEN_##bits << bits)); \
        pa += bits;                                                             \
        pb += bits;                                                             \
        PAIR_TAP(bits, even, 0, 0);                                             \
        PAIR_TAP(bits, odd, 0, 1);                                              \
        PAIR_TAP(bits, even, 1, 2);                                             \
        PAIR_TAP(bits, odd, 1, 3);                                              \
        PAIR_TAP(bits, even, 2, 4);                                             \
        PAIR_TAP(bits, odd, 2, 5);                                              \
        PAIR_TAP(bits, even, 3, 6);                                             \
        PAIR_TAP(bits, odd, 3, 7);                                              \
        x += SMCU_KERNELS_GROUP;                                                \
    }

uint32_t smcu_kernels_pair(uint32_t bits, const uint32_t *table, const uint8_t *const codes[2],
                           const uint8_t *x, uint32_t taps)
{
    const uint8_t *pa = codes[0];
    const uint8_t *pb = codes[1];
    uint32_t sum = 0;
    if (bits == 2) {
        PAIR(2)
    } else {
        PAIR(3)
    }
    const uint32_t mask = (1u << bits) - 1u;
    uint32_t ga = load_rest(pa, bits, taps);
    uint32_t gb = load_rest(pb, bits, taps);
    for (; taps > 0; taps--) {
        sum += table[(ga & mask) | (gb & mask) << bits] * *x++;
        ga >>= bits;
        gb >>= bits;
    }
    return sum;
}

int32_t smcu_kernels_wide(const int16_t *table, const uint8_t *codes, const uint8_t *x,
                          uint32_t taps)
{
    uint32_t word = 0; /* may leave int32 on the way, its final value does not */
    for (; taps >= 2; taps -= 2) {
        const uint32_t pair = *codes++;
        word += (uint32_t)(int32_t)table[pair & 15u] * x[0];
        word += (uint32_t)(int32_t)table[pair >> 4] * x[1];
        x += 2;
    }
    if (taps != 0) {
        word += (uint32_t)(int32_t)table[*codes & 15u] * x[0];
    }
    return (int32_t)word;
}

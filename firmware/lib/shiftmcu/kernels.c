#include "kernels.h"

#include "bytes.h"

/* Compilers gather the loads of all taps of a group in front and then lack registers. This keeps a
 * tap's work together: about a third fewer instructions on a Cortex-M4. */
#if defined(__GNUC__)
#define KEEP_ORDER(sum) __asm__ volatile("" : "+r"(sum) : : "memory")
#else
#define KEEP_ORDER(sum) ((void)0)
#endif

/* Eight codes, least significant first. Three bytes are loaded as four: a processor that can load a
 * word from any address does it at once, and the strings at the end of a model follow all codes. */
static inline uint32_t load_2(const uint8_t *p)
{
    return smcu_bytes_u16(p);
}

static inline uint32_t load_3(const uint8_t *p)
{
    return smcu_bytes_inline_u32(p);
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

/* Adds both lanes of a word, each an int16, to two sums. */
static inline void unpack(uint32_t word, int32_t *low, int32_t *high)
{
    const int32_t first = (int16_t)(uint16_t)word;
    *low += first;
    *high += (int16_t)(uint16_t)((word - (uint32_t)first) >> 16);
}

/* The weight of code i of a group. */
#define WEIGHT(group, bits, i) table[((group) >> ((i) * (bits))) & ((1u << (bits)) - 1u)]

#define EIGHT_TAPS(TAP, bits) \
    TAP(bits, 0);             \
    TAP(bits, 1);             \
    TAP(bits, 2);             \
    TAP(bits, 3);             \
    TAP(bits, 4);             \
    TAP(bits, 5);             \
    TAP(bits, 6);             \
    TAP(bits, 7)

/* Whole groups of `taps`; what is left is below eight. GROUP(bits) does one group. */
#define GROUPS(GROUP, bits)                                                   \
    for (; taps >= SMCU_KERNELS_GROUP; taps -= SMCU_KERNELS_GROUP) {          \
        const uint32_t ga = load_##bits(pa);                                  \
        const uint32_t gb = load_##bits(pb);                                  \
        pa += (bits);                                                         \
        pb += (bits);                                                         \
        GROUP(bits);                                                          \
        x += SMCU_KERNELS_GROUP;                                              \
    }

#define LANES_1_TAP(bits, i)               \
    do {                                   \
        const uint32_t xi = x[i];          \
        a += WEIGHT(ga, bits, i) * xi;     \
        b += WEIGHT(gb, bits, i) * xi;     \
        KEEP_ORDER(a);                     \
        KEEP_ORDER(b);                     \
    } while (0)
#define LANES_1_GROUP(bits) EIGHT_TAPS(LANES_1_TAP, bits)

void smcu_kernels_lanes_1(const smcu_kernels_weights_t *weights, const uint32_t *x,
                          int32_t sums[2][2])
{
    const uint32_t *table = weights->table;
    const uint32_t bits = weights->bits;
    const uint8_t *pa = weights->codes[0];
    const uint8_t *pb = weights->codes[1];
    for (uint32_t left = weights->taps; left > 0;) {
        uint32_t taps = left < weights->run ? left : weights->run;
        uint32_t a = 0;
        uint32_t b = 0;
        left -= taps;
        if (bits == 2) {
            GROUPS(LANES_1_GROUP, 2)
        } else {
            GROUPS(LANES_1_GROUP, 3)
        }
        uint32_t ga = taps > 0 ? load_rest(pa, bits, taps) : 0;
        uint32_t gb = taps > 0 ? load_rest(pb, bits, taps) : 0;
        for (; taps > 0; taps--) {
            const uint32_t xi = *x++;
            a += WEIGHT(ga, bits, 0) * xi;
            b += WEIGHT(gb, bits, 0) * xi;
            ga >>= bits;
            gb >>= bits;
        }
        unpack(a, &sums[0][0], &sums[0][1]);
        unpack(b, &sums[1][0], &sums[1][1]);
    }
}

#define LANES_2_TAP(bits, i)                     \
    do {                                         \
        const uint32_t xi = x[i];                \
        const uint32_t yi = y[i];              \
        const uint32_t wa = WEIGHT(ga, bits, i); \
        a0 += wa * xi;                           \
        a1 += wa * yi;                           \
        const uint32_t wb = WEIGHT(gb, bits, i); \
        b0 += wb * xi;                           \
        b1 += wb * yi;                           \
        KEEP_ORDER(a0);                          \
        KEEP_ORDER(a1);                          \
        KEEP_ORDER(b0);                          \
        KEEP_ORDER(b1);                          \
    } while (0)
#define LANES_2_GROUP(bits)        \
    EIGHT_TAPS(LANES_2_TAP, bits); \
    y += SMCU_KERNELS_GROUP

void smcu_kernels_lanes_2(const smcu_kernels_weights_t *weights, const uint32_t *x, uint32_t step,
                          int32_t sums[4][2])
{
    const uint32_t *table = weights->table;
    const uint32_t bits = weights->bits;
    const uint8_t *pa = weights->codes[0];
    const uint8_t *pb = weights->codes[1];
    const uint32_t *y = x + step;
    for (uint32_t left = weights->taps; left > 0;) {
        uint32_t taps = left < weights->run ? left : weights->run;
        uint32_t a0 = 0;
        uint32_t a1 = 0;
        uint32_t b0 = 0;
        uint32_t b1 = 0;
        left -= taps;
        if (bits == 2) {
            GROUPS(LANES_2_GROUP, 2)
        } else {
            GROUPS(LANES_2_GROUP, 3)
        }
        uint32_t ga = taps > 0 ? load_rest(pa, bits, taps) : 0;
        uint32_t gb = taps > 0 ? load_rest(pb, bits, taps) : 0;
        for (; taps > 0; taps--) {
            const uint32_t wa = WEIGHT(ga, bits, 0);
            const uint32_t wb = WEIGHT(gb, bits, 0);
            a0 += wa * x[0];
            a1 += wa * y[0];
            b0 += wb * x[0];
            b1 += wb * y[0];
            x++;
            y++;
            ga >>= bits;
            gb >>= bits;
        }
        unpack(a0, &sums[0][0], &sums[0][1]);
        unpack(a1, &sums[1][0], &sums[1][1]);
        unpack(b0, &sums[2][0], &sums[2][1]);
        unpack(b1, &sums[3][0], &sums[3][1]);
    }
}

/* The fields of the even codes of a group. */
#define EVEN_2 0x3333u
#define EVEN_3 0x1c71c7u

#define PAIR_TAP(bits, word, field, i)                 \
    do {                                               \
        sum += WEIGHT(word, 2 * (bits), field) * x[i]; \
        KEEP_ORDER(sum);                               \
    } while (0)

/* The codes of both channels side by side are one index into the table of pairs. */
#define PAIR_GROUP(bits)                                                                    \
    const uint32_t even = (ga & fields) | ((gb & fields) << (bits));                        \
    const uint32_t odd = ((ga >> (bits)) & fields) | (((gb >> (bits)) & fields) << (bits)); \
    PAIR_TAP(bits, even, 0, 0);                                                             \
    PAIR_TAP(bits, odd, 0, 1);                                                              \
    PAIR_TAP(bits, even, 1, 2);                                                             \
    PAIR_TAP(bits, odd, 1, 3);                                                              \
    PAIR_TAP(bits, even, 2, 4);                                                             \
    PAIR_TAP(bits, odd, 2, 5);                                                              \
    PAIR_TAP(bits, even, 3, 6);                                                             \
    PAIR_TAP(bits, odd, 3, 7)

void smcu_kernels_pair(const smcu_kernels_weights_t *weights, const uint8_t *x, int32_t sums[2])
{
    const uint32_t *table = weights->table;
    const uint32_t bits = weights->bits;
    const uint32_t mask = (1u << bits) - 1u;
    const uint32_t fields = bits == 2 ? EVEN_2 : EVEN_3;
    const uint8_t *pa = weights->codes[0];
    const uint8_t *pb = weights->codes[1];
    for (uint32_t left = weights->taps; left > 0;) {
        uint32_t taps = left < weights->run ? left : weights->run;
        uint32_t sum = 0;
        left -= taps;
        if (bits == 2) {
            GROUPS(PAIR_GROUP, 2)
        } else {
            GROUPS(PAIR_GROUP, 3)
        }
        uint32_t ga = taps > 0 ? load_rest(pa, bits, taps) : 0;
        uint32_t gb = taps > 0 ? load_rest(pb, bits, taps) : 0;
        for (; taps > 0; taps--) {
            sum += table[(ga & mask) | (gb & mask) << bits] * *x++;
            ga >>= bits;
            gb >>= bits;
        }
        unpack(sum, &sums[0], &sums[1]);
    }
}

#define WIDE_TAP(bits, i)                      \
    do {                                       \
        word += WEIGHT(group, bits, i) * x[i]; \
        KEEP_ORDER(word);                      \
    } while (0)

int32_t smcu_kernels_wide(const uint32_t *table, const uint8_t *codes, const uint8_t *x,
                          uint32_t taps)
{
    uint32_t word = 0; /* may leave int32 on the way, its final value does not */
    for (; taps >= SMCU_KERNELS_GROUP; taps -= SMCU_KERNELS_GROUP) {
        const uint32_t group = smcu_bytes_inline_u32(codes);
        EIGHT_TAPS(WIDE_TAP, 4);
        codes += 4;
        x += SMCU_KERNELS_GROUP;
    }
    uint32_t group = load_rest(codes, 4, taps);
    for (; taps > 0; taps--) {
        word += WEIGHT(group, 4, 0) * *x++;
        group >>= 4;
    }
    return (int32_t)word;
}

int32_t smcu_kernels_int8(const uint8_t *codes, const uint8_t *x, uint32_t taps)
{
    int32_t sum = 0; /* its parts are within the proof of the model */
    for (; taps >= 4u; taps -= 4u) {
        sum += (int8_t)codes[0] * x[0] + (int8_t)codes[1] * x[1];
        sum += (int8_t)codes[2] * x[2] + (int8_t)codes[3] * x[3];
        codes += 4;
        x += 4;
    }
    for (; taps > 0; taps--) {
        sum += (int8_t)*codes++ * *x++;
    }
    return sum;
}

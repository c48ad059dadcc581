/* Block floating point FFT of 256 complex words, radix 4, and the power of the real spectrum.
 * The formulas and their bounds stand in docs/numerics.md, section 1. */
#include "fft.h"

#include "frontend_tables.h"

#define POINTS SMCU_FFT_POINTS

/* For code whose speed comes from constant arguments. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

static inline int32_t low_half(uint32_t word)
{
    return (int16_t)(uint16_t)word;
}

static inline int32_t high_half(uint32_t word)
{
    return (int16_t)(uint16_t)(word >> 16);
}

/* Both within int16. */
static inline uint32_t pack(int32_t low, int32_t high)
{
    return ((uint32_t)low & 0xffffu) | ((uint32_t)high << 16);
}

/* Bits by which a half whose magnitude bits are given exceeds 2^12: 0..3. */
static int32_t growth(uint32_t bits)
{
    const uint32_t both = bits | (bits >> 16);
    if (both & 0x8000u) {
        return 3;
    }
    if (both & 0x4000u) {
        return 2;
    }
    return (both & 0x2000u) ? 1 : 0;
}

typedef struct {
    int32_t re, im;
} wide_t;

static inline wide_t unpack(uint32_t word)
{
    return (wide_t){low_half(word), high_half(word)};
}

/* word * (cos - j sin) with two fractional bits; 2^15 * 1.42 * 2^14 is below 2^31. Cortex-M4 and
 * up have one instruction for each sum of two products, which compilers do not find. */
static inline wide_t rotate(uint32_t word, uint32_t twiddle)
{
#if defined(__ARM_FEATURE_SIMD32)
    const int32_t z = (int32_t)word, w = (int32_t)twiddle;
    return (wide_t){__builtin_arm_smuad(z, w) >> 12, __builtin_arm_smusdx(w, z) >> 12};
#else
    const int32_t re = low_half(word), im = high_half(word);
    const int32_t cosine = low_half(twiddle), sine = high_half(twiddle);
    return (wide_t){(re * cosine + im * sine) >> 12, (im * cosine - re * sine) >> 12};
#endif
}

/* The radix-4 butterfly, scaled by 2^-shift; `a` holds the rounding term. Stores four words
 * `quarter` apart, returns their magnitude bits. */
static inline uint32_t combine(uint32_t *z, uint32_t quarter, int32_t shift, wide_t a, wide_t b,
                               wide_t c, wide_t d)
{
    const int32_t s0r = a.re + c.re, s0i = a.im + c.im, s1r = a.re - c.re, s1i = a.im - c.im;
    const int32_t s2r = b.re + d.re, s2i = b.im + d.im, s3r = b.re - d.re, s3i = b.im - d.im;
    const uint32_t out0 = pack((s0r + s2r) >> shift, (s0i + s2i) >> shift);
    const uint32_t out1 = pack((s1r + s3i) >> shift, (s1i - s3r) >> shift);
    const uint32_t out2 = pack((s0r - s2r) >> shift, (s0i - s2i) >> shift);
    const uint32_t out3 = pack((s1r - s3i) >> shift, (s1i + s3r) >> shift);
    z[0] = out0;
    z[quarter] = out1;
    z[2 * quarter] = out2;
    z[3 * quarter] = out3;
    return smcu_fft_mark(out0) | smcu_fft_mark(out1) | smcu_fft_mark(out2) | smcu_fft_mark(out3);
}

/* The stage's butterflies without twiddles: the two fractional bits would be zeros. */
ALWAYS_INLINE uint32_t plain_butterflies(uint32_t *z, uint32_t quarter, int32_t grown)
{
    const int32_t half = (int32_t)((1u << grown) >> 1);
    uint32_t bits = 0;
    uint32_t *x = z;
    for (uint32_t n = POINTS / 4 / quarter; n > 0; n--, x += 4 * quarter) {
        const wide_t a = {low_half(x[0]) + half, high_half(x[0]) + half};
        bits |= combine(x, quarter, grown, a, unpack(x[quarter]), unpack(x[2 * quarter]),
                        unpack(x[3 * quarter]));
    }
    return bits;
}

/* One stage of step 3 with scale 2^-grown. Returns the magnitude bits of its results. */
ALWAYS_INLINE uint32_t fft_stage(uint32_t *z, uint32_t quarter, int32_t grown)
{
    const int32_t half = (int32_t)(2u << grown);
    const uint32_t step = POINTS / 2 / quarter; /* of 512 angles */
    uint32_t bits = plain_butterflies(z, quarter, grown);
    for (uint32_t j = 1; j < quarter; j++) {
        const uint32_t w1 = smcu_frontend_twiddle[j * step];
        const uint32_t w2 = smcu_frontend_twiddle[2 * j * step];
        const uint32_t w3 = smcu_frontend_twiddle[3 * j * step];
        uint32_t *x = z + j;
        for (uint32_t n = POINTS / 4 / quarter; n > 0; n--, x += 4 * quarter) {
            const wide_t a = {low_half(x[0]) * 4 + half, high_half(x[0]) * 4 + half};
            bits |= combine(x, quarter, grown + 2, a, rotate(x[quarter], w1),
                            rotate(x[2 * quarter], w2), rotate(x[3 * quarter], w3));
        }
    }
    return bits;
}

/* Stages 2 to 4 of the 256-point FFT in place. Returns the sum of the stages' shifts. The stages
 * are written out because constant distances are what makes them fast. */
int32_t smcu_fft_run(uint32_t z[SMCU_FFT_POINTS], uint32_t bits)
{
    const int32_t grown2 = growth(bits);
    const int32_t grown3 = growth(fft_stage(z, 4, grown2));
    const int32_t grown4 = growth(fft_stage(z, 16, grown3));
    (void)fft_stage(z, 64, grown4);
    return grown2 + grown3 + grown4;
}

/* Squared magnitude of a bin from A + T; both within 2^18, the result below 2^31. */
static inline uint32_t power_of(int32_t re, int32_t im)
{
    const int32_t x = (re + 2) >> 2, y = (im + 2) >> 2;
    return (uint32_t)(x * x) + (uint32_t)(y * y);
}

/* Step 4: power of the real signal's bins 1..255 in place; word 0 is left as it is.
 * Bins k and 256 - k share their products: the second one's T is -T's real part. */
void smcu_fft_power(uint32_t z[SMCU_FFT_POINTS])
{
    for (uint32_t k = 1; k <= POINTS / 2; k++) {
        const uint32_t low = z[k], high = z[POINTS - k], twiddle = smcu_frontend_twiddle[k];
        const int32_t cosine = low_half(twiddle), sine = high_half(twiddle);
        const int32_t ar = low_half(low) + low_half(high), ai = high_half(low) - high_half(high);
        const int32_t br = high_half(low) + high_half(high), bi = low_half(high) - low_half(low);
        const int32_t tr = br * cosine + bi * sine;
        const int32_t ti = (bi * cosine - br * sine + 8192) >> 14;
        z[POINTS - k] = power_of(ar + ((8192 - tr) >> 14), ti - ai);
        z[k] = power_of(ar + ((8192 + tr) >> 14), ti + ai);
    }
}

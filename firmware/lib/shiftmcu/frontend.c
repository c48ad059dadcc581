/* Log-mel features; the formulas and their bounds stand in docs/numerics.md, section 1.
 *
 * The scratch holds 256 complex values as words, re | im << 16, through window and FFT; then the
 * power of bin k as uint32 in word k. All products fit 32 bits: no 64-bit arithmetic, which a
 * Cortex-M0 would have to call.
 */
#include "frontend.h"

#include <string.h>

#include "frontend_tables.h"

#define POINTS SMCU_FRONTEND_SCRATCH_WORDS

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

/* Bits that differ from their right neighbour, in both halves: the highest one marks the magnitude
 * max(x, -x - 1). Bit 16 is wrong, which nobody reads. */
static inline uint32_t magnitude_bits(uint32_t word)
{
    return word ^ (word << 1);
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

static int32_t mean_of(const int16_t *samples)
{
    int32_t sum = 256;
    for (size_t n = 0; n < SMCU_FRONTEND_WINDOW; n += 4) {
        sum += samples[n] + samples[n + 1] + samples[n + 2] + samples[n + 3];
    }
    return sum >> 9;
}

/* 15 - e: what is shifted out of a Q15 product so that 13 bits and a sign are left, 2..18. */
static int32_t window_shift(const int16_t *samples, int32_t mean)
{
    uint32_t bits = 0;
    int32_t shift = 2;
    for (size_t n = 0; n < SMCU_FRONTEND_WINDOW; n += 4) {
        for (size_t i = n; i < n + 4; i++) {
            const int32_t d = samples[i] - mean;
            bits |= (uint32_t)(d ^ (d >> 31));
        }
    }
    while (bits != 0) {
        bits >>= 1;
        shift++;
    }
    return shift;
}

/* Two int16 lanes in one word, re + 2^16 im: sums of such words are sums of both lanes. */
static inline uint32_t lanes(int32_t re, int32_t im)
{
    return (uint32_t)re + ((uint32_t)im << 16);
}

/* From lanes to halves: takes back what a negative low lane borrowed. */
static inline uint32_t halves(uint32_t both)
{
    return both + ((both & 0x8000u) << 1);
}

/* Steps 1, 2 and the first stage of 3: mean, window with block exponent, and the butterflies that
 * need no twiddles, while the four words are at hand. Words n, n + 64, n + 128, n + 192 of the
 * block are neighbours in digit-reversed order.
 * |sample - mean| <= 65407: a product and its rounding stay below 2^31. Windowed samples have 13
 * bits and a sign, so the sums of four fit a lane.
 * Returns 15 - e, writes the magnitude bits of the result. */
static int32_t window_block(const int16_t *samples, uint32_t *z, uint32_t *bits)
{
    const int32_t mean = mean_of(samples);
    const int32_t shift = window_shift(samples, mean);
    const int32_t half = (int32_t)(1u << (shift - 1));
    const int16_t *rising = smcu_frontend_hann, *falling = smcu_frontend_hann + POINTS;
    uint32_t seen = 0;
    for (uint32_t n = 0; n < POINTS / 4; n++, samples += 2, rising += 2, falling -= 2) {
        uint32_t *out = z + (((n & 3u) << 6) | ((n & 12u) << 2) | ((n >> 4) << 2));
#define WINDOWED(i, weight) (((samples[i] - mean) * (weight) + half) >> shift)
        const uint32_t a = lanes(WINDOWED(0, rising[0]), WINDOWED(1, rising[1]));
        const uint32_t c = lanes(WINDOWED(256, falling[0]), WINDOWED(257, falling[-1]));
        const int32_t br = WINDOWED(128, rising[128]), bi = WINDOWED(129, rising[129]);
        const int32_t dr = WINDOWED(384, falling[-128]), di = WINDOWED(385, falling[-129]);
#undef WINDOWED
        const uint32_t s0 = a + c, s1 = a - c;
        const uint32_t s2 = lanes(br + dr, bi + di), turned = lanes(bi - di, dr - br);
        out[0] = halves(s0 + s2);
        out[1] = halves(s1 + turned);
        out[2] = halves(s0 - s2);
        out[3] = halves(s1 - turned);
        seen |= magnitude_bits(out[0]) | magnitude_bits(out[1]) | magnitude_bits(out[2])
              | magnitude_bits(out[3]);
    }
    *bits = seen;
    return shift;
}

typedef struct {
    int32_t re, im;
} wide_t;

static inline wide_t unpack(uint32_t word)
{
    return (wide_t){low_half(word), high_half(word)};
}

/* word * (cos - j sin) with two fractional bits; 2^15 * 1.42 * 2^14 is below 2^31. */
static inline wide_t rotate(uint32_t word, uint32_t twiddle)
{
    const int32_t re = low_half(word), im = high_half(word);
    const int32_t cosine = low_half(twiddle), sine = high_half(twiddle);
    return (wide_t){(re * cosine + im * sine) >> 12, (im * cosine - re * sine) >> 12};
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
    return magnitude_bits(out0) | magnitude_bits(out1) | magnitude_bits(out2)
         | magnitude_bits(out3);
}

/* The stage's butterflies without twiddles: the two fractional bits would be zeros. */
static inline uint32_t plain_butterflies(uint32_t *z, uint32_t quarter, int32_t grown)
{
    const int32_t half = (int32_t)((1u << grown) >> 1);
    uint32_t bits = 0;
    for (uint32_t *x = z; x < z + POINTS; x += 4 * quarter) {
        const wide_t a = {low_half(x[0]) + half, high_half(x[0]) + half};
        bits |= combine(x, quarter, grown, a, unpack(x[quarter]), unpack(x[2 * quarter]),
                        unpack(x[3 * quarter]));
    }
    return bits;
}

/* One stage of step 3 with scale 2^-grown. Returns the magnitude bits of its results. */
static inline uint32_t fft_stage(uint32_t *z, uint32_t quarter, int32_t grown)
{
    const int32_t half = (int32_t)(2u << grown);
    const uint32_t step = POINTS / 2 / quarter;
    uint32_t bits = plain_butterflies(z, quarter, grown);
    for (uint32_t j = 1; j < quarter; j++) {
        const uint32_t w1 = smcu_frontend_twiddle[j * step];
        const uint32_t w2 = smcu_frontend_twiddle[2 * j * step];
        const uint32_t w3 = smcu_frontend_twiddle[3 * j * step];
        for (uint32_t *x = z + j; x < z + POINTS; x += 4 * quarter) {
            const wide_t a = {low_half(x[0]) * 4 + half, high_half(x[0]) * 4 + half};
            bits |= combine(x, quarter, grown + 2, a, rotate(x[quarter], w1),
                            rotate(x[2 * quarter], w2), rotate(x[3 * quarter], w3));
        }
    }
    return bits;
}

/* Stages 2 to 4 of the 256-point FFT in place. Returns the sum of the stages' shifts. The stages
 * are written out because constant distances are what makes them fast. */
static int32_t fft(uint32_t *z, uint32_t bits)
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
static void real_power(uint32_t *z)
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

/* 256 log2(2^16 high + low); high < 2^31, low < 2^16, not both 0. */
static int32_t log2_of(uint32_t high, uint32_t low)
{
    int32_t octave = 31;
    if (high >= 1u << 15) {
        octave += 16; /* bits below the 16th of 48 do not reach the 6 bits of the fraction */
    } else {
        high = (high << 16) | low;
    }
#define NORMALISE(bits)               \
    if (high < 1u << (32 - (bits))) { \
        high <<= (bits);              \
        octave -= (bits);             \
    }
    NORMALISE(16)
    NORMALISE(8)
    NORMALISE(4)
    NORMALISE(2)
    NORMALISE(1)
#undef NORMALISE
    return 256 * octave + smcu_frontend_log[(high >> 25) & 63u];
}

/* Steps 6 and 7. `energy` is 2^16 high + low, `exponent` is in 1/256 octaves. */
static int8_t feature_of(uint32_t high, uint32_t low, int32_t exponent)
{
    high += low >> 16;
    low &= 0xffffu;
    if (high == 0 && low == 0) {
        return -128;
    }
    const int32_t steps = SMCU_FRONTEND_STEPS_PER_OCTAVE * (log2_of(high, low) + exponent);
    const int32_t feature = ((steps + 128) >> 8) - SMCU_FRONTEND_OFFSET - 128;
    return (int8_t)(feature < -128 ? -128 : feature > 127 ? 127 : feature);
}

/* Step 5: the bins between two edges rise in one band and fall in the band before, with weights
 * that sum to 256. Sums are kept in 16-bit halves of the power: 17 bins * 65535 * 256 < 2^29. */
static void bands(const uint32_t *power, int32_t exponent, int8_t *features)
{
    const uint8_t *weight = smcu_frontend_mel_rise;
    const uint32_t *bin = power + SMCU_FRONTEND_MEL_FIRST_BIN;
    uint32_t before_high = 0, before_low = 0;
    for (uint32_t i = 0; i < SMCU_FRONTEND_SEGMENTS; i++) {
        uint32_t rise_high = 0, rise_low = 0, all_high = 0, all_low = 0;
        for (const uint32_t *end = bin + smcu_frontend_mel_count[i]; bin < end; bin++) {
            const uint32_t high = *bin >> 16, low = *bin & 0xffffu, rise = *weight++;
            rise_high += high * rise;
            rise_low += low * rise;
            all_high += high;
            all_low += low;
        }
        if (i > 0) {
            features[i - 1] = feature_of(before_high + (all_high << 8) - rise_high,
                                         before_low + (all_low << 8) - rise_low,
                                         exponent + smcu_frontend_area[i - 1]);
        }
        before_high = rise_high;
        before_low = rise_low;
    }
}

void smcu_frontend_frame(const int16_t samples[SMCU_FRONTEND_WINDOW],
                         uint32_t scratch[SMCU_FRONTEND_SCRATCH_WORDS],
                         int8_t features[SMCU_FRONTEND_BINS])
{
    uint32_t bits;
    const int32_t lost = window_block(samples, scratch, &bits);
    const int32_t grown = fft(scratch, bits);
    real_power(scratch);
    bands(scratch, 512 * (grown + lost - 15), features);
}

void smcu_frontend_init(smcu_frontend_t *fe)
{
    fe->filled = 0;
}

size_t smcu_frontend_feed(smcu_frontend_t *fe, const int16_t *pcm, size_t n_samples)
{
    const size_t room = (size_t)(SMCU_FRONTEND_WINDOW - fe->filled);
    const size_t taken = n_samples < room ? n_samples : room;
    if (taken > 0) {
        memcpy(fe->samples + fe->filled, pcm, taken * sizeof *pcm);
        fe->filled = (uint16_t)(fe->filled + taken);
    }
    return taken;
}

bool smcu_frontend_ready(const smcu_frontend_t *fe)
{
    return fe->filled == SMCU_FRONTEND_WINDOW;
}

void smcu_frontend_take(smcu_frontend_t *fe, uint32_t scratch[SMCU_FRONTEND_SCRATCH_WORDS],
                        int8_t features[SMCU_FRONTEND_BINS])
{
    const size_t kept = SMCU_FRONTEND_WINDOW - SMCU_FRONTEND_HOP;
    smcu_frontend_frame(fe->samples, scratch, features);
    memmove(fe->samples, fe->samples + SMCU_FRONTEND_HOP, kept * sizeof fe->samples[0]);
    fe->filled = (uint16_t)kept;
}

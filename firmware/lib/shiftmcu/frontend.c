/* Log-mel features; the formulas and their bounds stand in docs/numerics.md, section 1.
 *
 * The scratch holds 256 complex values as words, re | im << 16, through window and FFT; then the
 * power of bin k as uint32 in word k. All products fit 32 bits: no 64-bit arithmetic, which a
 * Cortex-M0 would have to call.
 */
#include "frontend.h"

#include <string.h>

#include "fft.h"
#include "frontend_tables.h"

static int32_t mean_of(const int16_t *samples)
{
    int32_t sum = 256;
    for (size_t n = 0; n < SMCU_FRONTEND_WINDOW; n += 4) {
        sum += samples[n] + samples[n + 1] + samples[n + 2] + samples[n + 3];
    }
    return sum >> 9;
}

/* max(d, -d - 1) */
static inline uint32_t magnitude(int32_t d)
{
    return (uint32_t)(d ^ -(d < 0));
}

/* 15 - e: what is shifted out of a Q15 product so that 13 bits and a sign are left, 2..18. */
static int32_t window_shift(const int16_t *samples, int32_t mean)
{
    uint32_t bits = 0;
    int32_t shift = 2;
    for (size_t n = 0; n < SMCU_FRONTEND_WINDOW; n += 4) {
        bits |= magnitude(samples[n] - mean) | magnitude(samples[n + 1] - mean)
              | magnitude(samples[n + 2] - mean) | magnitude(samples[n + 3] - mean);
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
 * |sample - mean| <= 65407: a product and its rounding stay below 2^31. What is windowed has 13
 * bits and a sign, and the weights of four terms sum to 2: sums stay within 2^14 + 2.
 * Returns 15 - e, writes the magnitude bits of the result. */
static int32_t window_block(const int16_t *samples, uint32_t *z, uint32_t *bits)
{
    const int32_t mean = mean_of(samples);
    const int32_t shift = window_shift(samples, mean);
    const int32_t half = (int32_t)(1u << (shift - 1));
    const int16_t *rising = smcu_frontend_hann;
    const int16_t *falling = smcu_frontend_hann + SMCU_FFT_POINTS;
    uint32_t seen = 0;
    for (uint32_t n = 0; n < SMCU_FFT_POINTS / 4; n++, samples += 2, rising += 2, falling -= 2) {
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
        seen |= smcu_fft_mark(out[0]) | smcu_fft_mark(out[1]);
        seen |= smcu_fft_mark(out[2]) | smcu_fft_mark(out[3]);
    }
    *bits = seen;
    return shift;
}

/* 256 log2(2^16 high + low); high < 2^31, low < 2^16, not both 0. */
static int32_t log2_of(uint32_t high, uint32_t low)
{
    int32_t octave = 47; /* bits below the 32nd of 48 do not reach the 6 bits of the fraction */
    if (high < 1u << 16) {
        high = (high << 16) | low;
        octave = 31;
    }
    const int zeros = __builtin_clz(high);
    octave -= zeros;
    high <<= zeros;
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
    const int32_t grown = smcu_fft_run(scratch, bits);
    smcu_fft_power(scratch);
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

#include "mic.h"

#include <string.h>

#define BLOCK SMCU_PDM_BLOCK
#define MEAN_SHIFT 7 /* the DC block's corner: 16 kHz / (2 pi 2^7) = 20 Hz */

void smcu_mic_init(smcu_mic_t *mic, const smcu_mic_config_t *config)
{
    mic->config = *config;
    mic->mean = 0;
    smcu_pdm_init(&mic->pdm);
}

size_t smcu_mic_sample_bytes(const smcu_mic_config_t *config)
{
    return config->kind == SMCU_MIC_PDM ? SMCU_PDM_BYTES : 4u * config->channels;
}

/* 24 bits of sign and value from the top of a word, the 8 below dropped. */
static int32_t top_bits(uint32_t word)
{
    const int32_t value = (int32_t)(word >> 8);
    return value - ((value & 0x800000) << 1);
}

static void from_i2s(const smcu_mic_config_t *config, const uint8_t *bytes, size_t n, int32_t *x)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t word;
        memcpy(&word, bytes + 4u * (i * config->channels + config->channel), 4);
        x[i] = top_bits(config->halves_swapped ? word << 16 | word >> 16 : word);
    }
}

static void from_pdm(smcu_mic_t *mic, const uint8_t *bytes, size_t n, int32_t *x)
{
    uint8_t bits[SMCU_PDM_BYTES * BLOCK];
    const size_t swap = mic->config.halves_swapped ? 1u : 0u;

    for (size_t i = 0; i < SMCU_PDM_BYTES * n; i++) {
        bits[i] = bytes[i ^ swap];
    }
    smcu_pdm_decimate(&mic->pdm, bits, n, x);
}

/* |x| < 2.21 2^23, and its running mean stays below 1.01 2^23 (PDM, for any bits): so `mean` is below
 * 2^31 and the difference below 2^25. */
static int16_t condition(smcu_mic_t *mic, int32_t x)
{
    const uint32_t shift = 8u - mic->config.gain_shift;
    const int32_t y = x - (mic->mean >> MEAN_SHIFT);

    mic->mean += y;
    const int32_t rounded = (y + (int32_t)((1u << shift) >> 1)) >> shift;
    return (int16_t)(rounded > INT16_MAX ? INT16_MAX : rounded < INT16_MIN ? INT16_MIN : rounded);
}

/* One block of at most BLOCK samples. */
static void convert_block(smcu_mic_t *mic, const uint8_t *bytes, size_t n, int16_t *pcm)
{
    int32_t x[BLOCK];

    if (mic->config.kind == SMCU_MIC_PDM) {
        from_pdm(mic, bytes, n, x);
    } else {
        from_i2s(&mic->config, bytes, n, x);
    }
    for (size_t i = 0; i < n; i++) {
        pcm[i] = condition(mic, x[i]);
    }
}

void smcu_mic_convert(smcu_mic_t *mic, const void *buffer, size_t n_samples, int16_t *pcm)
{
    const uint8_t *bytes = buffer;

    while (n_samples > 0) {
        const size_t n = n_samples < BLOCK ? n_samples : BLOCK;

        convert_block(mic, bytes, n, pcm);
        bytes += n * smcu_mic_sample_bytes(&mic->config);
        pcm += n;
        n_samples -= n;
    }
}

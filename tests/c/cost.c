/* Entry points for counting instructions of a stream in an emulated Cortex-M. */
#include "activity.h"
#include "activity.h"
#include "mic.h"
#include "stream.h"

static smcu_model_t model;
static smcu_stream_t stream;
static smcu_result_t result;
static uint32_t arena[1 << 14];

/* Opens the model and starts a stream: the arena bytes, or a negative status. */
int32_t cost_open(const void *blob, uint32_t n_bytes)
{
    const smcu_status_t status = smcu_model_open(&model, blob, n_bytes);
    if (status != SMCU_OK) {
        return status;
    }
    const size_t bytes = smcu_stream_arena_bytes(&model);
    const smcu_status_t started = smcu_stream_init(&stream, &model, arena, bytes, NULL);
    return started != SMCU_OK ? (int32_t)started : (int32_t)bytes;
}

/* Pushes samples; adds up all logits of the decisions. */
int32_t cost_push(const int16_t *pcm, uint32_t n_samples)
{
    uint32_t sum = 0;
    while (n_samples > 0) {
        const size_t taken = smcu_stream_push(&stream, pcm, n_samples, &result);
        pcm += taken;
        n_samples -= (uint32_t)taken;
        for (uint32_t i = 0; result.decided && i < model.n_logits; i++) {
            sum += (uint32_t)result.logits[i];
        }
    }
    return (int32_t)sum;
}

/* Shows samples to the voice-activity gate; the number of hops with which it is awake. */
int32_t cost_activity(const int16_t *pcm, uint32_t n_samples)
{
    static smcu_activity_t activity;
    int32_t awake = 0;

    smcu_activity_init(&activity, 10u);
    for (; n_samples >= SMCU_ACTIVITY_HOP; n_samples -= SMCU_ACTIVITY_HOP) {
        awake += smcu_activity_hop(&activity, pcm) ? 1 : 0;
        pcm += SMCU_ACTIVITY_HOP;
    }
    return awake;
}

/* Converts PDM bits, 8 bytes per sample; the sum of the samples. */
int32_t cost_pdm(const uint8_t *bits, uint32_t n_samples)
{
    static const smcu_mic_config_t config = {.kind = SMCU_MIC_PDM};
    static smcu_mic_t mic;
    int32_t sum = 0;

    smcu_mic_init(&mic, &config);
    for (uint32_t i = 0; i + 160u <= n_samples; i += 160u) {
        int16_t pcm[160];
        smcu_mic_convert(&mic, bits + 8u * i, 160u, pcm);
        for (uint32_t k = 0; k < 160u; k++) {
            sum += pcm[k];
        }
    }
    return sum;
}

/* Bytes of the stream's struct. */
int32_t cost_state_bytes(void)
{
    return (int32_t)sizeof stream;
}

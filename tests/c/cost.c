/* Entry points for counting instructions of a stream in an emulated Cortex-M. */
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

/* Bytes of the stream's struct. */
int32_t cost_state_bytes(void)
{
    return (int32_t)sizeof stream;
}

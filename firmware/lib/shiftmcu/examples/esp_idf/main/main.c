/* shiftmcu on ESP-IDF: the model's first self-test through the network, intents on the console.
 *
 * Written, never run. Put i2s_channel_read in place of the self-test's samples to listen. */
#include <stdio.h>

#include "bytes.h"
#include "model/model.h"
#include "stream.h"

static smcu_stream_t stream;
static uint32_t arena[(SMCU_MODEL_ARENA_BYTES + 3u) / 4u];

static void hear(const smcu_model_t *model, int16_t sample)
{
    smcu_result_t result;

    (void)smcu_stream_push(&stream, &sample, 1, &result);
    if (!result.decided || !result.has_event) {
        return;
    }
    for (uint32_t slot = 0; slot < result.intent.n_slots; slot++) {
        printf("%s ", smcu_model_label(model, slot, result.intent.classes[slot]));
    }
    printf("\n");
}

void app_main(void)
{
    static smcu_model_t model;
    smcu_selftest_t audio;

    if (smcu_model_open(&model, smcu_model_blob, SMCU_MODEL_BYTES) != SMCU_OK ||
        smcu_stream_init(&stream, &model, arena, sizeof(arena), NULL) != SMCU_OK ||
        model.n_selftests == 0u) {
        printf("the model was refused\n");
        return;
    }
    smcu_model_selftest(&model, 0, &audio);
    for (uint32_t i = 0; i < audio.n_samples; i++) {
        hear(&model, (int16_t)smcu_bytes_u16(audio.pcm + 2u * i));
    }
}

/* shiftmcu in the Arduino world: the model's first self-test through the network, intents on Serial.
 *
 * Written, never run. `shiftmcu convert MODEL.keras -o model` writes model/model.c and model/model.h into
 * this folder. Put the samples of a microphone in place of the self-test's to listen. */
extern "C" {
#include "bytes.h"
#include "model/model.h"
#include "stream.h"
}

static smcu_model_t model;
static smcu_stream_t stream;
static smcu_selftest_t audio;
static uint32_t arena[(SMCU_MODEL_ARENA_BYTES + 3u) / 4u];
static uint32_t next_sample;

void setup()
{
    Serial.begin(115200);
    if (smcu_model_open(&model, smcu_model_blob, SMCU_MODEL_BYTES) != SMCU_OK ||
        smcu_stream_init(&stream, &model, arena, sizeof(arena), NULL) != SMCU_OK ||
        model.n_selftests == 0) {
        Serial.println("the model was refused");
        return;
    }
    smcu_model_selftest(&model, 0, &audio);
}

void loop()
{
    if (next_sample >= audio.n_samples) {
        return;
    }
    const int16_t sample = (int16_t)smcu_bytes_u16(audio.pcm + 2u * next_sample++);
    smcu_result_t result;

    smcu_stream_push(&stream, &sample, 1, &result);
    if (!result.decided || !result.has_event) {
        return;
    }
    for (uint32_t slot = 0; slot < result.intent.n_slots; slot++) {
        Serial.print(smcu_model_label(&model, slot, result.intent.classes[slot]));
        Serial.print(slot + 1 < result.intent.n_slots ? " / " : "\n");
    }
}

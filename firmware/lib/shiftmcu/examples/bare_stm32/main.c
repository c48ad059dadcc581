/* shiftmcu on a bare STM32F4: no framework, no vendor code.
 *
 * Plays the audio of the model's first self-test, which lies in flash, through the network and lights
 * PD12 (the Discovery's green LED) when it hears a command. Put your own samples in its place: any
 * number at a time, 16 kHz int16 mono. `shiftmcu convert MODEL.keras -o DIR` writes model.c and model.h.
 */
#include <string.h>

#include "bytes.h"
#include "model/model.h"
#include "stream.h"

#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define RCC_AHB1ENR REG(0x40023830u)
#define GPIOD_MODER REG(0x40020c00u)
#define GPIOD_BSRR REG(0x40020c18u)
#define LED 12u

static smcu_stream_t stream;
static uint32_t arena[(SMCU_MODEL_ARENA_BYTES + 3u) / 4u];

static void hear(const int16_t *pcm, size_t n)
{
    while (n > 0) {
        smcu_result_t result;
        const size_t taken = smcu_stream_push(&stream, pcm, n, &result);

        pcm += taken;
        n -= taken;
        if (result.decided && result.has_event) {
            GPIOD_BSRR = 1u << LED; /* result.intent.classes says which command */
        }
    }
}

int main(void)
{
    static smcu_model_t model;
    smcu_selftest_t audio;

    RCC_AHB1ENR |= 1u << 3;
    GPIOD_MODER |= 1u << (2u * LED);
    if (smcu_model_open(&model, smcu_model_blob, SMCU_MODEL_BYTES) != SMCU_OK ||
        smcu_stream_init(&stream, &model, arena, sizeof(arena), NULL) != SMCU_OK ||
        model.n_selftests == 0u) {
        return 1;
    }
    smcu_model_selftest(&model, 0, &audio);
    for (uint32_t i = 0; i < audio.n_samples; i++) {
        const int16_t sample = (int16_t)smcu_bytes_u16(audio.pcm + 2u * i);

        hear(&sample, 1);
    }
    for (;;) {
    }
}

/* --- start-up ---------------------------------------------------------------------------------- */

extern uint32_t stack_top[], data_load[], data_start[], data_end[], bss_start[], bss_end[];

void reset(void);

void reset(void)
{
    memcpy(data_start, data_load, (size_t)((uintptr_t)data_end - (uintptr_t)data_start));
    memset(bss_start, 0, (size_t)((uintptr_t)bss_end - (uintptr_t)bss_start));
    (void)main();
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static const struct {
    const uint32_t *stack; /* cppcheck-suppress unusedStructMember ; the core reads both */
    void (*reset)(void); /* cppcheck-suppress unusedStructMember */
} vectors = {stack_top, reset};

#include "port_bare.h"

#include <string.h>

#include "version.h"

extern uint32_t smcu_data_load[], smcu_data_start[], smcu_data_end[];
extern uint32_t smcu_bss_start[], smcu_bss_end[];

#define STACK_PAINT 0x57ac57acu
#define STACK_PAINT_BYTES 8192u /* painting and scanning all 100 kB would only cost time */
#define FRAME_WORDS 64          /* more than the frames of start-up take */
#define FAULT_MAGIC 0xfa017faeu

/* Survive a reset that keeps the power; `magic` is FAULT_MAGIC when there is a fault. */
static struct {
    uint32_t magic;
    smcu_port_fault_t fault;
    uint32_t boots;
} kept __attribute__((section(".noinit")));

static uint32_t noise;

/* Lowest painted address: the paint covers the top STACK_PAINT_BYTES, or all there is. */
static uint32_t *paint_start(void)
{
    const uintptr_t limit = (uintptr_t)smcu_stack_limit;
    const uintptr_t top = (uintptr_t)smcu_stack_top;

    return (top - limit > STACK_PAINT_BYTES) ? (uint32_t *)(top - STACK_PAINT_BYTES)
                                             : smcu_stack_limit;
}

__attribute__((noinline)) void smcu_bare_start_memory(void)
{
    const volatile uint32_t *end = (const volatile uint32_t *)__builtin_frame_address(0) - FRAME_WORDS;
    uint32_t sum = 0;

    for (volatile uint32_t *word = paint_start(); word < end; word++) {
        sum = sum * 31u + *word;
        *word = STACK_PAINT;
    }
    memcpy(smcu_data_start, smcu_data_load,
           (size_t)((uintptr_t)smcu_data_end - (uintptr_t)smcu_data_start));
    memset(smcu_bss_start, 0, (size_t)((uintptr_t)smcu_bss_end - (uintptr_t)smcu_bss_start));
    noise = sum;
}

uint32_t smcu_port_stack_free(void)
{
    const uint32_t *word = paint_start();

    while (word < smcu_stack_top && *word == STACK_PAINT) {
        word++;
    }
    return (uint32_t)((uintptr_t)word - (uintptr_t)smcu_stack_limit);
}

uint32_t smcu_bare_boot_id(void)
{
    return (++kept.boots * 2654435761u) ^ noise;
}

void smcu_bare_note_fault(const smcu_port_fault_t *fault)
{
    kept.fault = *fault;
    kept.magic = FAULT_MAGIC;
}

const smcu_port_fault_t *smcu_bare_take_fault(void)
{
    const bool there = kept.magic == FAULT_MAGIC;

    kept.magic = 0;
    return there ? &kept.fault : NULL;
}

uint32_t smcu_bare_micros(uint32_t timer, uint32_t ticks_per_us)
{
    static uint32_t last, rest, micros;
    const uint32_t passed = timer - last;

    last = timer;
    micros += passed / ticks_per_us;
    rest += passed % ticks_per_us;
    if (rest >= ticks_per_us) {
        rest -= ticks_per_us;
        micros++;
    }
    return micros;
}

void smcu_bare_greet(void)
{
    static const char line[] = "\r\nshiftmcu " SMCU_FW_VERSION " on " SMCU_BOARD "\r\n";

    smcu_port_write((const uint8_t *)line, sizeof(line)); /* with its 0x00 */
}

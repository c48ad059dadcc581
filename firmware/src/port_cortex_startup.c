/* Start-up of a Cortex-M: vector table, memory, stack paint, FPU, and the record of a fault. */
#include <stdint.h>
#include <string.h>

#include "port_cortex.h"

extern uint32_t smcu_stack_top[], smcu_stack_limit[];
extern uint32_t smcu_data_load[], smcu_data_start[], smcu_data_end[];
extern uint32_t smcu_bss_start[], smcu_bss_end[];

int main(int argc, char **argv);

#define STACK_PAINT 0x57ac57acu
#define STACK_PAINT_BYTES 8192u /* painting and scanning all 100 kB would only cost time */
#define FAULT_MAGIC 0xfa017faeu
#define FRAME_WORDS 8u /* r0-r3, r12, lr, pc, xpsr */

uint32_t smcu_cortex_noise;

/* Survives the reset that ends a fault. `magic` is FAULT_MAGIC when there is one. */
static struct {
    uint32_t magic;
    smcu_port_fault_t fault;
} record __attribute__((section(".noinit")));

/* Lowest painted address: the paint covers the top STACK_PAINT_BYTES, or all there is. */
static uint32_t *paint_start(void)
{
    const uintptr_t limit = (uintptr_t)smcu_stack_limit;
    const uintptr_t top = (uintptr_t)smcu_stack_top;

    return (top - limit > STACK_PAINT_BYTES) ? (uint32_t *)(top - STACK_PAINT_BYTES)
                                             : smcu_stack_limit;
}

uint32_t smcu_port_stack_free(void)
{
    const uint32_t *word = paint_start();

    while (word < smcu_stack_top && *word == STACK_PAINT) {
        word++;
    }
    return (uint32_t)((uintptr_t)word - (uintptr_t)smcu_stack_limit);
}

const smcu_port_fault_t *smcu_cortex_fault_record(void)
{
    const bool there = record.magic == FAULT_MAGIC;

    record.magic = 0; /* told once: the next reset is another story */
    return there ? &record.fault : NULL;
}

__attribute__((noreturn, used)) void smcu_reset(void)
{
    /* Up to well below this function's own frame. */
    const volatile uint32_t *end = (const volatile uint32_t *)__builtin_frame_address(0) - 64;
    uint32_t noise = 0;

    for (volatile uint32_t *word = paint_start(); word < end; word++) {
        noise = noise * 31u + *word;
        *word = STACK_PAINT;
    }
    memcpy(smcu_data_start, smcu_data_load,
           (size_t)((uintptr_t)smcu_data_end - (uintptr_t)smcu_data_start));
    memset(smcu_bss_start, 0, (size_t)((uintptr_t)smcu_bss_end - (uintptr_t)smcu_bss_start));
    smcu_cortex_noise = noise;
#ifdef __ARM_FP
    SCB_CPACR |= 0xfu << 20; /* full access to the FPU, for code built with it */
    __asm__ volatile("dsb\n isb" ::: "memory");
#endif
    (void)main(0, NULL);
    for (;;) {
        __asm__ volatile("wfi");
    }
}

/* Notes what the core had stacked and resets the chip: the next boot sends FAULT. */
__attribute__((noreturn, used)) void smcu_cortex_fault(const uint32_t *frame)
{
    uint32_t exception;

    __asm__ volatile("mrs %0, ipsr" : "=r"(exception));
    record.fault = (smcu_port_fault_t){.reason = exception};
    if (frame >= smcu_stack_limit && frame + FRAME_WORDS <= smcu_stack_top) {
        record.fault.pc = frame[6];
        record.fault.lr = frame[5];
    }
#ifndef __ARM_ARCH_6M__
    record.fault.status = SCB_CFSR;
#endif
    record.magic = FAULT_MAGIC;
    __asm__ volatile("dsb" ::: "memory");
    SCB_AIRCR = 0x05fa0004u; /* SYSRESETREQ */
    for (;;) {
        __asm__ volatile("dsb" ::: "memory");
    }
}

/* Every exception that nobody handles: only the main stack is used, so the frame is there. */
__attribute__((naked)) static void unhandled(void)
{
    __asm__ volatile("mrs r0, msp\n ldr r1, =smcu_cortex_fault\n bx r1");
}

typedef union {
    void (*handler)(void);
    const uint32_t *stack;
} vector_t;

/* Interrupt n of the chip: the UART's, or none. */
#define V(n) {.handler = ((n) == SMCU_UART_IRQ) ? smcu_cortex_uart_irq : unhandled}
#define V4(n) V(n), V((n) + 1u), V((n) + 2u), V((n) + 3u)
#define V16(n) V4(n), V4((n) + 4u), V4((n) + 8u), V4((n) + 12u)
#define F {.handler = unhandled}

/* 16 system exceptions, then the chip's interrupts: 32, or as many as the largest chip has. */
__attribute__((section(".vectors"), used)) static const vector_t vectors[] = {
    {.stack = smcu_stack_top},
    {.handler = smcu_reset},
    F, F, F, F, F, F, F, F, F, F, F, F, F, /* NMI to PendSV */
    {.handler = smcu_cortex_systick_irq},
    V16(0u), V16(16u),
#ifndef __ARM_ARCH_6M__
    V16(32u), V16(48u), V16(64u), V16(80u), V16(96u), V16(112u), V16(128u), V16(144u),
#endif
};

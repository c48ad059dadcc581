/* Start-up of the STM32F405: vector table, memory, stack paint, FPU, fault report. */
#include <stdint.h>
#include <string.h>

#include "port_stm32f4.h"

extern uint32_t smcu_stack_top[], smcu_stack_limit[];
extern uint32_t smcu_data_load[], smcu_data_start[], smcu_data_end[];
extern uint32_t smcu_bss_start[], smcu_bss_end[];

int main(int argc, char **argv);

#define STACK_PAINT 0x57ac57acu
#define STACK_PAINT_BYTES 8192u /* painting and scanning all 100 kB would only cost time */

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

__attribute__((noreturn, used)) void smcu_reset(void)
{
    /* Up to well below this function's own frame. */
    const volatile uint32_t *end = (const volatile uint32_t *)__builtin_frame_address(0) - 64;

    for (volatile uint32_t *word = paint_start(); word < end; word++) {
        *word = STACK_PAINT;
    }
    memcpy(smcu_data_start, smcu_data_load,
           (size_t)((uintptr_t)smcu_data_end - (uintptr_t)smcu_data_start));
    memset(smcu_bss_start, 0, (size_t)((uintptr_t)smcu_bss_end - (uintptr_t)smcu_bss_start));
#ifdef __ARM_FP
    SCB_CPACR |= 0xfu << 20; /* full access to the FPU, for code built with it */
    __asm__ volatile("dsb\n isb" ::: "memory");
#endif
    (void)main(0, NULL);
    for (;;) {
        __asm__ volatile("wfi");
    }
}

/* Prints the stacked registers and stops: the text reaches the host as a log line. */
__attribute__((noreturn, used)) void smcu_fault_report(const uint32_t *frame)
{
    smcu_stm32f4_print("\r\nFAULT pc ");
    smcu_stm32f4_print_hex(frame[6]);
    smcu_stm32f4_print(" lr ");
    smcu_stm32f4_print_hex(frame[5]);
    smcu_stm32f4_print(" cfsr ");
    smcu_stm32f4_print_hex(SCB_CFSR);
    smcu_stm32f4_print(" ipsr ");
    uint32_t ipsr;
    __asm__ volatile("mrs %0, ipsr" : "=r"(ipsr));
    smcu_stm32f4_print_hex(ipsr);
    smcu_stm32f4_print("\r\n");
    for (;;) {
        __asm__ volatile("wfi");
    }
}

/* Every exception that nobody handles: only the main stack is used, so the frame is there. */
__attribute__((naked)) static void fault(void)
{
    __asm__ volatile("mrs r0, msp\n b smcu_fault_report");
}

typedef union {
    void (*handler)(void);
    const uint32_t *stack;
} vector_t;

#define F {.handler = fault}
#define F4 F, F, F, F
#define F16 F4, F4, F4, F4

/* 16 system exceptions and the 82 interrupts of the STM32F405 (RM0090, table 62). */
__attribute__((section(".vectors"), used)) static const vector_t vectors[16 + 82] = {
    {.stack = smcu_stack_top},
    {.handler = smcu_reset},
    F, F,                           /* NMI, HardFault */
    F, F, F,                        /* MemManage, BusFault, UsageFault */
    F4,                             /* reserved */
    F, F, F, F,                     /* SVCall, DebugMonitor, reserved, PendSV */
    {.handler = smcu_systick_irq},  /* SysTick */
    F16, F16, F4, F,                /* 0..36 */
    {.handler = smcu_usart1_irq},   /* 37 */
    F16, F16, F4, F4, F4,           /* 38..81 */
};

/* Start-up of a Cortex-M: vector table, FPU, and the note of a fault. */
#include "port_cortex.h"

int main(int argc, char **argv);

#define FRAME_WORDS 8u /* that the core stacks: r0-r3, r12, lr, pc, xpsr */

__attribute__((noreturn, used)) void smcu_reset(void)
{
    smcu_bare_start_memory();
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
    smcu_port_fault_t fault = {0};

    __asm__ volatile("mrs %0, ipsr" : "=r"(fault.reason));
    if (frame >= smcu_stack_limit && frame + FRAME_WORDS <= smcu_stack_top) {
        fault.pc = frame[6];
        fault.lr = frame[5];
    }
#ifndef __ARM_ARCH_6M__
    fault.status = SCB_CFSR;
#endif
    smcu_bare_note_fault(&fault);
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

/* Interrupt n of the chip: the UART's, the microphone's, or none. */
#ifdef SMCU_MIC
#define OTHER(n) (((n) == SMCU_MIC_IRQ) ? smcu_cortex_mic_irq : unhandled)
#else
#define OTHER(n) unhandled
#endif
#define V(n) {.handler = ((n) == SMCU_UART_IRQ) ? smcu_cortex_uart_irq : OTHER(n)}
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

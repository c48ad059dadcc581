/* What every port without an operating system needs: memory at start-up, stack, time, crash note. */
#ifndef SMCU_PORT_BARE_H
#define SMCU_PORT_BARE_H

#include <stdint.h>

#include "port.h"

#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* Of the linker script. */
extern uint32_t smcu_stack_top[], smcu_stack_limit[];

/* Paints the unused stack, copies .data and clears .bss; the first call of a boot. */
void smcu_bare_start_memory(void);

/* What the stack's memory held before it was painted, as a number: noise that tells boots apart. */
uint32_t smcu_bare_boot_id(void);

/* Notes a crash where the next boot finds it. */
void smcu_bare_note_fault(const smcu_port_fault_t *fault);

/* The crash that was noted before this boot, or NULL; told once. */
const smcu_port_fault_t *smcu_bare_take_fault(void);

/* Microseconds since the first call, from a timer that wraps at 2^32. */
uint32_t smcu_bare_micros(uint32_t timer, uint32_t ticks_per_us);

/* The boot line, and the 0x00 that parts it from the packets. */
void smcu_bare_greet(void);

#endif

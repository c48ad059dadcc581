/* Registers of the Cortex-M core, and what its port needs from a chip.
 *
 * Arm DDI 0403E (ARMv7-M): SysTick B3.3, NVIC B3.4, SCB B3.2, DWT C1.8. ARMv6-M (DDI 0419) and
 * ARMv8-M (DDI 0553) have the same at the same addresses; ARMv6-M has no DWT counter and no CFSR. */
#ifndef SMCU_PORT_CORTEX_H
#define SMCU_PORT_CORTEX_H

#include <stdbool.h>
#include <stdint.h>

#include "port_bare.h"

#define SYSTICK_CTRL REG(0xe000e010u)
#define SYSTICK_LOAD REG(0xe000e014u)
#define SYSTICK_VAL REG(0xe000e018u)
#define NVIC_ISER(irq) REG(0xe000e100u + 4u * ((irq) / 32u))
#define NVIC_ISPR(irq) REG(0xe000e200u + 4u * ((irq) / 32u))
#define NVIC_ICPR(irq) REG(0xe000e280u + 4u * ((irq) / 32u))
#define NVIC_PRIORITY(irq) (*(volatile uint8_t *)(uintptr_t)(0xe000e400u + (irq)))
#define NVIC_BIT(irq) (1u << ((irq) % 32u))
#define SCB_ICSR REG(0xe000ed04u)
#define SCB_AIRCR REG(0xe000ed0cu)
#define SCB_CCR REG(0xe000ed14u)
#define SCB_CFSR REG(0xe000ed28u)
#define SCB_CPACR REG(0xe000ed88u)
#define DWT_CTRL REG(0xe0001000u)
#define DWT_CYCCNT REG(0xe0001004u)
#define DWT_LAR REG(0xe0001fb0u)
#define DEBUG_DEMCR REG(0xe000edfcu)

/* --- what a chip gives: one port_<chip>.c each, in this order at boot ------------------------ */

/* Starts the core's clock and those of the peripherals used. Returns the core's Hz. */
uint32_t smcu_chip_start_clock(void);
/* Starts a 32-bit timer that counts up for ever. Returns its Hz, a multiple of 1 MHz. */
uint32_t smcu_chip_start_timer(uint32_t clock_hz);
uint32_t smcu_chip_timer(void);
/* The gate pin, low, and the UART at SMCU_BAUD; its receive interrupt is SMCU_UART_IRQ. */
void smcu_chip_start_pins(uint32_t clock_hz);
/* Interrupt: moves what was received into smcu_rx_ring. */
void smcu_chip_receive(void);
void smcu_chip_send(uint8_t byte);
/* The reset flags, which it clears, and whether the watchdog was it. */
uint32_t smcu_chip_reset_reason(bool *watchdog);
void smcu_chip_start_watchdog(void);
void smcu_chip_feed_watchdog(void);
void smcu_chip_gate(bool high);
/* Interrupt SMCU_MIC_IRQ, where the board has a microphone: the port's part of smcu_port_mic_*. */
void smcu_chip_hear(void);

/* --- what the Cortex-M port gives to its chips ------------------------------------------------ */

/* False when the core is an emulated one: no clock will get ready. Valid from smcu_port_init on. */
bool smcu_cortex_is_hardware(void);
/* Waits until (*reg & mask) == value, but not for ever: false when it did not happen. */
bool smcu_cortex_wait_for(volatile const uint32_t *reg, uint32_t mask, uint32_t value);

/* --- between port_cortex.c and port_cortex_startup.c ------------------------------------------ */

void smcu_cortex_uart_irq(void);
void smcu_cortex_systick_irq(void);
void smcu_cortex_mic_irq(void);

#endif

/* STM32: what all families share (GPIO, USART, TIM2, watchdog), and what a family's header gives.
 *
 * Reference manuals: RM0090 (F405/F407), RM0383 (F411), RM0390 (F446), RM0444 (G0), RM0433 (H743),
 * RM0456 (U5); in each the chapters "RCC registers", "GPIO registers", "USART registers", "TIM2 to
 * TIM5 registers", "IWDG registers". A pin is 16 * port + number: PA9 is 9, PB0 is 16. */
#ifndef SMCU_PORT_STM32_H
#define SMCU_PORT_STM32_H

#include "port_cortex.h"

#if defined(SMCU_STM32F4)
#include "port_stm32f4.h"
#elif defined(SMCU_STM32G0)
#include "port_stm32g0.h"
#elif defined(SMCU_STM32H7)
#include "port_stm32h7.h"
#elif defined(SMCU_STM32U5)
#include "port_stm32u5.h"
#else
#error "the board's file names no family of STM32 that this port knows"
#endif

#if SMCU_UART < 1 || SMCU_UART > 3
#error "the board's file: uart.number is 1, 2 or 3"
#endif

#define PORT_OF(pin) ((uint32_t)(pin) >> 4)
#define NUMBER_OF(pin) ((uint32_t)(pin) & 15u)
#define GPIO(pin, offset) REG(GPIO_BASE + 0x400u * PORT_OF(pin) + (offset))
#define GPIO_MODER(pin) GPIO(pin, 0x00u)
#define GPIO_OSPEEDR(pin) GPIO(pin, 0x08u)
#define GPIO_PUPDR(pin) GPIO(pin, 0x0cu)
#define GPIO_BSRR(pin) GPIO(pin, 0x18u)
#define GPIO_AFR(pin) GPIO(pin, 0x20u + 4u * (NUMBER_OF(pin) >> 3))

#define TIM2_CR1 REG(0x40000000u)
#define TIM2_EGR REG(0x40000014u)
#define TIM2_CNT REG(0x40000024u)
#define TIM2_PSC REG(0x40000028u)
#define TIM2_ARR REG(0x4000002cu)

#define IWDG_KR REG(IWDG_BASE + 0x00u)
#define IWDG_PR REG(IWDG_BASE + 0x04u)
#define IWDG_RLR REG(IWDG_BASE + 0x08u)
#define IWDG_SR REG(IWDG_BASE + 0x0cu)

/* Clocks as they came out, in Hz: of the core, into the UART, into TIM2. */
typedef struct {
    uint32_t core_hz;
    uint32_t uart_hz;
    uint32_t timer_hz;
} smcu_stm32_clocks_t;

/* Starts the clock that the board's file asks for, else the internal oscillator's. */
smcu_stm32_clocks_t smcu_stm32_start_clock(void);

/* A pin as alternate function `function`, pulled up, at high speed. Its port's clock must run. */
void smcu_stm32_alternate(uint32_t pin, uint32_t function);

#endif

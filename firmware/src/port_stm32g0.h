/* Registers of the STM32G0B1 (RM0444: "FLASH registers", "RCC registers", "Memory map"). */
#ifndef SMCU_PORT_STM32G0_H
#define SMCU_PORT_STM32G0_H

#define RCC_CR REG(0x40021000u)
#define RCC_CFGR REG(0x40021008u)
#define RCC_PLLCFGR REG(0x4002100cu)
#define RCC_GPIO_ENR REG(0x40021034u) /* IOPENR */
#define RCC_APBENR1 REG(0x4002103cu)
#define RCC_TIM2_ENR RCC_APBENR1
#define FLASH_ACR REG(0x40022000u)
#define GPIO_BASE 0x50000000u
#define IWDG_BASE 0x40003000u

#define RESET_FLAGS REG(0x40021060u) /* RCC_CSR */
#define RESET_SHIFT 24u
#define RESET_CLEAR (1u << 23)
#define RESET_BY_WATCHDOG (1u << 29)

#if SMCU_UART == 1
#define UART_BASE 0x40013800u
#define RCC_UART_ENR REG(0x40021040u) /* APBENR2 */
#define RCC_UART_BIT (1u << 14)
#else
#define UART_BASE (0x40004400u + 0x400u * (SMCU_UART - 2u))
#define RCC_UART_ENR RCC_APBENR1
#define RCC_UART_BIT (1u << (15u + SMCU_UART))
#endif
#define UART_HZ SMCU_CLOCK_HZ

#include "port_stm32_uart.h"

#endif

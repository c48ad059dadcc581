/* Registers of the STM32U575 without TrustZone (RM0456: "FLASH registers", "PWR registers", "RCC
 * registers", "ICACHE registers"). */
#ifndef SMCU_PORT_STM32U5_H
#define SMCU_PORT_STM32U5_H

#define RCC_CR REG(0x46020c00u)
#define RCC_CFGR1 REG(0x46020c1cu)
#define RCC_PLL1CFGR REG(0x46020c28u)
#define RCC_PLL1DIVR REG(0x46020c34u)
#define RCC_GPIO_ENR REG(0x46020c8cu) /* AHB2ENR1 */
#define RCC_AHB3ENR REG(0x46020c94u)
#define RCC_APB1ENR1 REG(0x46020c9cu)
#define RCC_TIM2_ENR RCC_APB1ENR1
#define PWR_VOSR REG(0x4602080cu)
#define FLASH_ACR REG(0x40022000u)
#define ICACHE_CR REG(0x40030400u)
#define GPIO_BASE 0x42020000u
#define IWDG_BASE 0x40003000u

#define RESET_FLAGS REG(0x46020cf4u) /* RCC_CSR */
#define RESET_SHIFT 24u
#define RESET_CLEAR (1u << 23)
#define RESET_BY_WATCHDOG (1u << 29)

#if SMCU_UART == 1
#define UART_BASE 0x40013800u
#define RCC_UART_ENR REG(0x46020ca4u) /* APB2ENR */
#define RCC_UART_BIT (1u << 14)
#else
#define UART_BASE (0x40004400u + 0x400u * (SMCU_UART - 2u))
#define RCC_UART_ENR RCC_APB1ENR1
#define RCC_UART_BIT (1u << (15u + SMCU_UART))
#endif
#define UART_HZ SMCU_CLOCK_HZ

#include "port_stm32_uart.h"

#endif

/* Registers of the STM32H743 (RM0433: "FLASH registers", "PWR registers", "RCC registers"). */
#ifndef SMCU_PORT_STM32H7_H
#define SMCU_PORT_STM32H7_H

#define RCC_CR REG(0x58024400u)
#define RCC_CFGR REG(0x58024410u)
#define RCC_D1CFGR REG(0x58024418u)
#define RCC_D2CFGR REG(0x5802441cu)
#define RCC_D3CFGR REG(0x58024420u)
#define RCC_PLLCKSELR REG(0x58024428u)
#define RCC_PLLCFGR REG(0x5802442cu)
#define RCC_PLL1DIVR REG(0x58024430u)
#define RCC_GPIO_ENR REG(0x580244e0u) /* AHB4ENR */
#define RCC_APB1LENR REG(0x580244e8u)
#define RCC_TIM2_ENR RCC_APB1LENR
#define PWR_CSR1 REG(0x58024804u)
#define PWR_CR3 REG(0x5802480cu)
#define PWR_D3CR REG(0x58024818u)
#define FLASH_ACR REG(0x52002000u)
#define GPIO_BASE 0x58020000u
#define IWDG_BASE 0x58004800u

#define RESET_FLAGS REG(0x580244d0u) /* RCC_RSR */
#define RESET_SHIFT 16u
#define RESET_CLEAR (1u << 16)
#define RESET_BY_WATCHDOG (1u << 26)

/* Caches of the Cortex-M7 (Arm DDI 0403E, B2.2.7 and B3.2). */
#define SCB_CCSIDR REG(0xe000ed80u)
#define SCB_CSSELR REG(0xe000ed84u)
#define SCB_ICIALLU REG(0xe000ef50u)
#define SCB_DCISW REG(0xe000ef60u)

#if SMCU_UART == 1
#define UART_BASE 0x40011000u
#define RCC_UART_ENR REG(0x580244f0u) /* APB2ENR */
#define RCC_UART_BIT (1u << 4)
#else
#define UART_BASE (0x40004400u + 0x400u * (SMCU_UART - 2u))
#define RCC_UART_ENR RCC_APB1LENR
#define RCC_UART_BIT (1u << (15u + SMCU_UART))
#endif
#define UART_HZ (SMCU_CLOCK_HZ / 4u)

#include "port_stm32_uart.h"

#endif

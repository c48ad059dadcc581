/* Registers of the STM32F405/F407 (RM0090), F411 (RM0383) and F446 (RM0390): chapters "Embedded
 * flash memory interface", PWR, RCC and USART; the addresses are the same in all three. */
#ifndef SMCU_PORT_STM32F4_H
#define SMCU_PORT_STM32F4_H

#define RCC_CR REG(0x40023800u)
#define RCC_PLLCFGR REG(0x40023804u)
#define RCC_CFGR REG(0x40023808u)
#define RCC_APB1ENR REG(0x40023840u)
#define RCC_GPIO_ENR REG(0x40023830u) /* AHB1ENR */
#define RCC_TIM2_ENR RCC_APB1ENR
#define PWR_CR REG(0x40007000u)
#define FLASH_ACR REG(0x40023c00u)
#define GPIO_BASE 0x40020000u
#define IWDG_BASE 0x40003000u

#define RESET_FLAGS REG(0x40023874u) /* RCC_CSR */
#define RESET_SHIFT 24u
#define RESET_CLEAR (1u << 24)
#define RESET_BY_WATCHDOG (1u << 29)

#if SMCU_UART == 1
#define UART_BASE 0x40011000u
#define RCC_UART_ENR REG(0x40023844u) /* APB2ENR */
#define RCC_UART_BIT (1u << 4)
#else
#define UART_BASE (0x40004400u + 0x400u * (SMCU_UART - 2u))
#define RCC_UART_ENR RCC_APB1ENR
#define RCC_UART_BIT (1u << (15u + SMCU_UART))
#endif
#define UART_STATUS REG(UART_BASE + 0x00u) /* SR */
#define UART_RX REG(UART_BASE + 0x04u)     /* DR */
#define UART_TX UART_RX
#define UART_BRR REG(UART_BASE + 0x08u)
#define UART_CR1 REG(UART_BASE + 0x0cu)
#define UART_CR1_ENABLE (1u << 13)
#define UART_CLEAR_OVERRUN() ((void)0)
#define UART_DATA_CLEARS_OVERRUN 1 /* reading SR, then DR */

/* Limits of the buses (data sheets, "General operating conditions"). */
#if defined(SMCU_STM32F411)
#define APB1_MAX_HZ 50000000u
#define APB2_MAX_HZ 100000000u
#else
#define APB1_MAX_HZ 42000000u
#define APB2_MAX_HZ 84000000u
#endif
#define APB_DIV(max_hz) \
    (SMCU_CLOCK_HZ <= (max_hz) ? 1u : SMCU_CLOCK_HZ <= 2u * (max_hz) ? 2u : 4u)
#if SMCU_UART == 1
#define UART_HZ (SMCU_CLOCK_HZ / APB_DIV(APB2_MAX_HZ))
#else
#define UART_HZ (SMCU_CLOCK_HZ / APB_DIV(APB1_MAX_HZ))
#endif

#endif

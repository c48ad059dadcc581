/* Registers of the STM32F4 that the port uses (RM0090, PM0214), and what its two files share. */
#ifndef SMCU_PORT_STM32F4_H
#define SMCU_PORT_STM32F4_H

#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

#define RCC_CR REG(0x40023800u)
#define RCC_PLLCFGR REG(0x40023804u)
#define RCC_CFGR REG(0x40023808u)
#define RCC_AHB1ENR REG(0x40023830u)
#define RCC_AHB2ENR REG(0x40023834u)
#define RCC_APB1ENR REG(0x40023840u)
#define RCC_APB2ENR REG(0x40023844u)
#define RCC_CSR REG(0x40023874u)
#define FLASH_ACR REG(0x40023c00u)

#define GPIOA_MODER REG(0x40020000u)
#define GPIOA_OSPEEDR REG(0x40020008u)
#define GPIOA_PUPDR REG(0x4002000cu)
#define GPIOA_AFRH REG(0x40020024u)

#define USART1_SR REG(0x40011000u)
#define USART1_DR REG(0x40011004u)
#define USART1_BRR REG(0x40011008u)
#define USART1_CR1 REG(0x4001100cu)
#define USART1_IRQ 37u

#define TIM2_CR1 REG(0x40000000u)
#define TIM2_EGR REG(0x40000014u)
#define TIM2_CNT REG(0x40000024u)
#define TIM2_PSC REG(0x40000028u)
#define TIM2_ARR REG(0x4000002cu)

#define RNG_CR REG(0x50060800u)
#define RNG_SR REG(0x50060804u)
#define RNG_DR REG(0x50060808u)

#define SYSTICK_CTRL REG(0xe000e010u)
#define SYSTICK_LOAD REG(0xe000e014u)
#define SYSTICK_VAL REG(0xe000e018u)
#define NVIC_ISER(irq) REG(0xe000e100u + 4u * ((irq) / 32u))
#define NVIC_ISPR(irq) REG(0xe000e200u + 4u * ((irq) / 32u))
#define NVIC_ICPR(irq) REG(0xe000e280u + 4u * ((irq) / 32u))
#define SCB_ICSR REG(0xe000ed04u)
#define SCB_CFSR REG(0xe000ed28u)
#define SCB_CPACR REG(0xe000ed88u)
#define DWT_CTRL REG(0xe0001000u)
#define DWT_CYCCNT REG(0xe0001004u)
#define DEBUG_DEMCR REG(0xe000edfcu)

void smcu_systick_irq(void);
void smcu_usart1_irq(void);

/* Text on the UART, polled: works with interrupts off and in a fault. */
void smcu_stm32f4_print(const char *text);
void smcu_stm32f4_print_hex(uint32_t value);

#endif

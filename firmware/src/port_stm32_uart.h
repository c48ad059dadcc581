/* The USART of the G0, H7 and U5, with its FIFO (RM0444, RM0433, RM0456: "USART registers"). */
#ifndef SMCU_PORT_STM32_UART_H
#define SMCU_PORT_STM32_UART_H

#define UART_CR1 REG(UART_BASE + 0x00u)
#define UART_BRR REG(UART_BASE + 0x0cu)
#define UART_STATUS REG(UART_BASE + 0x1cu) /* ISR */
#define UART_ICR REG(UART_BASE + 0x20u)
#define UART_RX REG(UART_BASE + 0x24u) /* RDR */
#define UART_TX REG(UART_BASE + 0x28u) /* TDR */
#define UART_CR1_ENABLE ((1u << 29) | 1u) /* FIFOEN, UE */
#define UART_CLEAR_OVERRUN() ((void)(UART_ICR = 1u << 3))
#define UART_DATA_CLEARS_OVERRUN 0

#endif

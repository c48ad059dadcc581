/* Port to Arm's MPS2 images AN385 (Cortex-M3) and AN500 (Cortex-M7) as QEMU has them: the UART and
 * the timer of the Cortex-M System Design Kit (Arm DDI 0479: "APB UART", "APB timer"). Nothing there
 * counts cycles or instructions, so ticks are the timer's 25 MHz. */
#include "port_cortex.h"
#include "ring.h"

#define UART_DATA REG(0x40004000u)
#define UART_STATE REG(0x40004004u)
#define UART_CTRL REG(0x40004008u)
#define UART_INTCLEAR REG(0x4000400cu)
#define UART_BAUDDIV REG(0x40004010u)
#define UART_TX_FULL 1u
#define UART_RX_FULL 2u
#define UART_RX_OVERRUN 8u
#define TIMER_CTRL REG(0x40000000u)
#define TIMER_VALUE REG(0x40000004u)
#define TIMER_RELOAD REG(0x40000008u)

uint32_t smcu_chip_start_clock(void)
{
    return SMCU_CLOCK_HZ;
}

uint32_t smcu_chip_start_timer(uint32_t clock_hz)
{
    TIMER_RELOAD = 0xffffffffu;
    TIMER_VALUE = 0xffffffffu;
    TIMER_CTRL = 1u;
    return clock_hz;
}

uint32_t smcu_chip_timer(void)
{
    return 0xffffffffu - TIMER_VALUE; /* it counts down */
}

void smcu_chip_start_pins(uint32_t clock_hz)
{
    UART_BAUDDIV = clock_hz / SMCU_BAUD;
    UART_CTRL = (1u << 0) | (1u << 1) | (1u << 3); /* TX, RX, RX interrupt */
}

void smcu_chip_receive(void)
{
    UART_INTCLEAR = 2u;
    while ((UART_STATE & UART_RX_FULL) != 0u) {
        smcu_ring_put(&smcu_rx_ring, (uint8_t)UART_DATA);
    }
    if ((UART_STATE & UART_RX_OVERRUN) != 0u) {
        UART_STATE = UART_RX_OVERRUN;
        smcu_rx_ring.overruns++;
    }
}

void smcu_chip_send(uint8_t byte)
{
    (void)smcu_cortex_wait_for(&UART_STATE, UART_TX_FULL, 0u);
    UART_DATA = byte;
}

uint32_t smcu_chip_reset_reason(bool *watchdog)
{
    *watchdog = false;
    return 0;
}

void smcu_chip_start_watchdog(void)
{
}

void smcu_chip_feed_watchdog(void)
{
}

void smcu_chip_gate(bool high)
{
    (void)high;
}

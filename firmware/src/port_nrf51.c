/* Port to the nRF51822 (Cortex-M0, 16 kB of RAM) as QEMU's `microbit` has it: UART and TIMER0 of
 * Nordic's nRF51 Series Reference Manual 3.0, chapters 29 and 18. QEMU gives it a SysTick, which the
 * chip itself lacks. Nothing counts cycles or instructions, so ticks are the timer's 16 MHz. */
#include "port_cortex.h"
#include "ring.h"

#define UART_STARTRX REG(0x40002000u)
#define UART_STARTTX REG(0x40002008u)
#define UART_RXDRDY REG(0x40002108u)
#define UART_TXDRDY REG(0x4000211cu)
#define UART_INTENSET REG(0x40002304u)
#define UART_ENABLE REG(0x40002500u)
#define UART_PSELTXD REG(0x4000250cu)
#define UART_PSELRXD REG(0x40002514u)
#define UART_RXD REG(0x40002518u)
#define UART_TXD REG(0x4000251cu)
#define UART_BAUDRATE REG(0x40002524u)
#define UART_1M_BAUD 0x10000000u
#define TIMER_START REG(0x40008000u)
#define TIMER_CAPTURE0 REG(0x40008040u)
#define TIMER_BITMODE REG(0x40008508u)
#define TIMER_PRESCALER REG(0x40008510u)
#define TIMER_CC0 REG(0x40008540u)
#define TIMER_CAPTURE1 REG(0x40008044u)
#define TIMER_CC1 REG(0x40008544u)

uint32_t smcu_chip_start_clock(void)
{
    return SMCU_CLOCK_HZ;
}

uint32_t smcu_chip_start_timer(uint32_t clock_hz)
{
    TIMER_BITMODE = 3u; /* 32 bits */
    TIMER_PRESCALER = 0;
    TIMER_START = 1u;
    return clock_hz;
}

/* An interrupt has a capture register of its own: it must not change what main just captured. */
uint32_t smcu_chip_timer(void)
{
    uint32_t exception;

    __asm__ volatile("mrs %0, ipsr" : "=r"(exception));
    if (exception != 0u) {
        TIMER_CAPTURE1 = 1u;
        return TIMER_CC1;
    }
    TIMER_CAPTURE0 = 1u;
    return TIMER_CC0;
}

void smcu_chip_start_pins(uint32_t clock_hz)
{
    (void)clock_hz;
    UART_PSELTXD = SMCU_UART_TX;
    UART_PSELRXD = SMCU_UART_RX;
    UART_BAUDRATE = UART_1M_BAUD;
    UART_ENABLE = 4u;
    UART_INTENSET = 1u << 2; /* RXDRDY */
    UART_STARTRX = 1u;
    UART_STARTTX = 1u;
}

void smcu_chip_receive(void)
{
    while (UART_RXDRDY != 0u) {
        UART_RXDRDY = 0;
        smcu_ring_put(&smcu_rx_ring, (uint8_t)UART_RXD);
    }
}

void smcu_chip_send(uint8_t byte)
{
    UART_TXDRDY = 0;
    UART_TXD = byte;
    (void)smcu_cortex_wait_for(&UART_TXDRDY, 1u, 1u);
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

/* Port to STM32: GPIO, USART with its receive interrupt, TIM2, watchdog, reset flags. */
#include "port_stm32.h"

#include "ring.h"

#if defined(SMCU_MIC) && !defined(SMCU_STM32F4)
#error "the board's file: mic: only the STM32F4 has a port for it"
#endif

#define RX_READY (1u << 5) /* RXNE; with the FIFO: it is not empty */
#define TX_READY (1u << 7) /* TXE; with the FIFO: it is not full */
#define OVERRUN (1u << 3)  /* ORE */
#define EMULATED_TIMER_HZ 1000000000u /* QEMU's, whatever the clock is */
#define WATCHDOG_RELOAD 4095u /* of 32 kHz / 64: 8 s */

#define BAUD_STEPS ((UART_HZ + SMCU_BAUD / 2u) / SMCU_BAUD)
#if BAUD_STEPS < 16u || BAUD_STEPS * SMCU_BAUD > UART_HZ / 100u * 102u || \
    BAUD_STEPS * SMCU_BAUD < UART_HZ / 100u * 98u
#error "the board's file: the UART cannot make this baud rate within 2 %"
#endif

static smcu_stm32_clocks_t clocks;

void smcu_stm32_alternate(uint32_t pin, uint32_t function)
{
    const uint32_t two = 2u * NUMBER_OF(pin), four = 4u * (NUMBER_OF(pin) & 7u);

    GPIO_AFR(pin) = (GPIO_AFR(pin) & ~(15u << four)) | (function << four);
    GPIO_OSPEEDR(pin) = (GPIO_OSPEEDR(pin) & ~(3u << two)) | (2u << two);
    GPIO_PUPDR(pin) = (GPIO_PUPDR(pin) & ~(3u << two)) | (1u << two);
    GPIO_MODER(pin) = (GPIO_MODER(pin) & ~(3u << two)) | (2u << two);
}

static void set(uint32_t pin, bool high)
{
    GPIO_BSRR(pin) = 1u << (NUMBER_OF(pin) + (high ? 0u : 16u));
}

/* An output, low; the clock of its port must run. */
static void start_output(uint32_t pin)
{
    const uint32_t two = 2u * NUMBER_OF(pin);

    set(pin, false);
    GPIO_MODER(pin) = (GPIO_MODER(pin) & ~(3u << two)) | (1u << two);
}

uint32_t smcu_chip_start_clock(void)
{
    clocks = smcu_stm32_start_clock();
    RCC_GPIO_ENR |= (1u << PORT_OF(SMCU_UART_TX)) | (1u << PORT_OF(SMCU_UART_RX)) |
                    (1u << PORT_OF(SMCU_GATE));
    RCC_TIM2_ENR |= 1u << 0;
    RCC_UART_ENR |= RCC_UART_BIT;
    (void)RCC_UART_ENR; /* a read behind the write: the clock runs before the register is used */
    return clocks.core_hz;
}

uint32_t smcu_chip_start_timer(uint32_t clock_hz)
{
    (void)clock_hz;
    TIM2_PSC = 0;
    TIM2_ARR = 0xffffffffu;
    TIM2_EGR = 1u;
    TIM2_CR1 = 1u;
    return smcu_cortex_is_hardware() ? clocks.timer_hz : EMULATED_TIMER_HZ;
}

uint32_t smcu_chip_timer(void)
{
    return TIM2_CNT;
}

void smcu_chip_start_pins(uint32_t clock_hz)
{
    (void)clock_hz;
    start_output(SMCU_GATE);
    smcu_stm32_alternate(SMCU_UART_TX, SMCU_UART_AF);
    smcu_stm32_alternate(SMCU_UART_RX, SMCU_UART_AF);
    UART_BRR = (clocks.uart_hz + SMCU_BAUD / 2u) / SMCU_BAUD;
    UART_CR1 = UART_CR1_ENABLE | RX_READY | (1u << 3) | (1u << 2); /* RXNEIE, TE, RE */
}

void smcu_chip_receive(void)
{
    uint32_t status = UART_STATUS;

    while ((status & (RX_READY | OVERRUN)) != 0u) {
        if ((status & OVERRUN) != 0u) {
            smcu_rx_ring.overruns++;
            UART_CLEAR_OVERRUN();
        }
        if ((status & RX_READY) != 0u || UART_DATA_CLEARS_OVERRUN) {
            smcu_ring_put(&smcu_rx_ring, (uint8_t)UART_RX);
        }
        status = UART_STATUS;
    }
}

void smcu_chip_send(uint8_t byte)
{
    (void)smcu_cortex_wait_for(&UART_STATUS, TX_READY, TX_READY);
    UART_TX = byte;
}

uint32_t smcu_chip_reset_reason(bool *watchdog)
{
    const uint32_t flags = RESET_FLAGS;

    RESET_FLAGS = flags | RESET_CLEAR; /* the next reset starts with clean flags */
    *watchdog = (flags & RESET_BY_WATCHDOG) != 0u;
    return flags >> RESET_SHIFT;
}

void smcu_chip_start_watchdog(void)
{
    IWDG_KR = 0xccccu; /* start; it cannot be stopped but by a reset */
    IWDG_KR = 0x5555u;
    IWDG_PR = 4u; /* 32 kHz / 64 */
    IWDG_RLR = WATCHDOG_RELOAD;
    (void)smcu_cortex_wait_for(&IWDG_SR, 3u, 0u);
    smcu_chip_feed_watchdog();
}

void smcu_chip_feed_watchdog(void)
{
    IWDG_KR = 0xaaaau;
}

void smcu_chip_gate(bool high)
{
    set(SMCU_GATE, high);
}

#ifdef SMCU_STANDALONE
void smcu_port_pin_start(uint32_t pin)
{
    RCC_GPIO_ENR |= 1u << PORT_OF(pin);
    (void)RCC_GPIO_ENR;
    start_output(pin);
}

void smcu_port_pin(uint32_t pin, bool high)
{
    set(pin, high);
}
#endif

/* Port to Arm's MPS2 images AN385 (Cortex-M3) and AN500 (Cortex-M7) as QEMU has them: the UART and
 * the timer of the Cortex-M System Design Kit (Arm DDI 0479: "APB UART", "APB timer"). Nothing there
 * counts cycles or instructions, so ticks are the timer's 25 MHz.
 *
 * The microphone is the second UART: the bytes that a DMA would bring, as fast as they are taken.
 * Pins are those of the first AHB GPIO (DDI 0479, "AHB GPIO"), which QEMU only notes in its log. */
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
#define MIC_DATA REG(0x40005000u)
#define MIC_STATE REG(0x40005004u)
#define MIC_CTRL REG(0x40005008u)
#define MIC_INTCLEAR REG(0x4000500cu)
#define MIC_BAUDDIV REG(0x40005010u)
#define GPIO_DATAOUT REG(0x40010004u)
#define GPIO_OUTENSET REG(0x40010010u)

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

#ifdef SMCU_MIC

#include "microphone.h"

#define MIC_HALF_SAMPLES 160u /* 10 ms */
#define MIC_HALF_BYTES (4u * MIC_HALF_SAMPLES)

static const smcu_mic_config_t mic_config = {.kind = SMCU_MIC_I2S, .channels = 1};
static uint32_t smcu_mic_dma[2][MIC_HALF_SAMPLES];
static volatile uint32_t mic_half;   /* that is being filled */
static volatile uint32_t mic_filled; /* bytes of it */

const smcu_mic_config_t *smcu_port_mic_config(void)
{
    return &mic_config;
}

bool smcu_port_mic_start(void)
{
    mic_half = 0;
    mic_filled = 0;
    MIC_BAUDDIV = 16u;
    MIC_CTRL = (1u << 1) | (1u << 3); /* RX, RX interrupt */
    NVIC_ISER(SMCU_MIC_IRQ) = NVIC_BIT(SMCU_MIC_IRQ);
    return true;
}

void smcu_port_mic_stop(void)
{
    MIC_CTRL = 0;
}

/* A byte that finds the half full stays in the UART, and holds up those behind it. */
void smcu_chip_hear(void)
{
    MIC_INTCLEAR = 2u;
    while (mic_filled < MIC_HALF_BYTES && (MIC_STATE & UART_RX_FULL) != 0u) {
        ((uint8_t *)smcu_mic_dma[mic_half])[mic_filled] = (uint8_t)MIC_DATA;
        mic_filled++;
    }
}

/* Called in every turn of the main loop: hands over a full half when the one before is used up. */
void smcu_chip_feed_watchdog(void)
{
    if (mic_filled == MIC_HALF_BYTES && !smcu_microphone_ready()) {
        smcu_microphone_half(smcu_mic_dma[mic_half], MIC_HALF_BYTES);
        mic_half ^= 1u;
        mic_filled = 0;
        NVIC_ISPR(SMCU_MIC_IRQ) = NVIC_BIT(SMCU_MIC_IRQ);
    }
}

#else

void smcu_chip_feed_watchdog(void)
{
}

#endif

#ifdef SMCU_STANDALONE

static uint32_t outputs;

void smcu_port_pin_start(uint32_t pin)
{
    smcu_port_pin(pin, false);
    GPIO_OUTENSET = 1u << pin;
}

void smcu_port_pin(uint32_t pin, bool high)
{
    outputs = high ? outputs | 1u << pin : outputs & ~(1u << pin);
    GPIO_DATAOUT = outputs;
}

#endif

void smcu_chip_gate(bool high)
{
    (void)high;
}

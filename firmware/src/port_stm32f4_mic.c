/* Microphone of the STM32F4: I2S2 as a master that receives, DMA1 stream 3 into a ring of two halves.
 *
 * RM0090, chapters "Serial peripheral interface (SPI)": I2S, and "DMA controller", table "DMA1
 * request mapping"; RM0383 and RM0390 likewise. Written from the manuals, never run on hardware; a
 * test runs this object code with a model of these registers.
 *
 * The bit clock is 1.024 MHz: 64 bits a sample. An I2S microphone sends left and right, 32 bits each;
 * a PDM microphone one bit per clock, taken 16 at a time. The DMA moves 16 bits, upper half first. */
#include "port_stm32.h"

#ifdef SMCU_MIC

#include "microphone.h"

#define SPI_CR2 REG(0x40003804u)
#define SPI_SR REG(0x40003808u)
#define SPI_DR_ADDRESS 0x4000380cu
#define SPI_DR REG(SPI_DR_ADDRESS)
#define I2S_CFGR REG(0x4000381cu)
#define I2S_PR REG(0x40003820u)
#define DMA_LISR REG(0x40026000u)
#define DMA_LIFCR REG(0x40026008u)
#define DMA_CR REG(0x40026058u)
#define DMA_NDTR REG(0x4002605cu)
#define DMA_PAR REG(0x40026060u)
#define DMA_M0AR REG(0x40026064u)
#define DMA_FCR REG(0x4002606cu)
#define RCC_PLLI2SCFGR REG(0x40023884u)

#define RCC_SPI2 (1u << 14)
#define RCC_DMA1 (1u << 21)
#define PLLI2S_ON (1u << 26)
#define PLLI2S_READY (1u << 27)
#define RX_DMA (1u << 0)
#define I2S_MODE_MASTER_RECEIVE ((1u << 11) | (3u << 8))
#define I2S_ENABLE (1u << 10)
#define HALF_DONE (1u << 26)  /* HTIF3 */
#define WHOLE_DONE (1u << 27) /* TCIF3 */
#define STREAM_FLAGS (0x3du << 22)
#define DMA_ENABLE 1u
#define AF_I2S2 5u
#define LOWER_PRIORITY 0x80u /* than the UART's, which has no FIFO */

/* 213 MHz / 2 / 104 = 1.02404 MHz: 16,001 samples a second */
#define PLLI2S_N 213u
#define PLLI2S_R 2u
#define I2S_DIV 52u

#define HALF_SAMPLES 160u /* 10 ms */
#define HALF_BYTES (8u * HALF_SAMPLES)

#if defined(SMCU_MIC_WIRED_PDM)
/* left-justified, 16 bits in 16, the clock idle high */
#define FORMAT ((1u << 4) | (1u << 3))
static const smcu_mic_config_t config = {.kind = SMCU_MIC_PDM, .halves_swapped = true};
#else
/* Philips, 32 bits in 32 */
#define FORMAT ((2u << 1) | 1u)
static const smcu_mic_config_t config = {
    .kind = SMCU_MIC_I2S, .channels = 2, .channel = 0, .halves_swapped = true};
#endif

static uint32_t smcu_mic_dma[2][HALF_BYTES / 4u];
static uint32_t next_half;

const smcu_mic_config_t *smcu_port_mic_config(void)
{
    return &config;
}

static void start_pins(void)
{
    RCC_GPIO_ENR |= (1u << PORT_OF(SMCU_MIC_CLOCK)) | (1u << PORT_OF(SMCU_MIC_DATA));
    (void)RCC_GPIO_ENR;
    smcu_stm32_alternate(SMCU_MIC_CLOCK, AF_I2S2);
    smcu_stm32_alternate(SMCU_MIC_DATA, AF_I2S2);
#ifdef SMCU_MIC_WORD
    RCC_GPIO_ENR |= 1u << PORT_OF(SMCU_MIC_WORD);
    (void)RCC_GPIO_ENR;
    smcu_stm32_alternate(SMCU_MIC_WORD, AF_I2S2);
#endif
}

/* The PLL's input is 1 MHz: the main PLL's M on the F405 and F407, its own M on the others. */
static bool start_clock(void)
{
    RCC_PLLI2SCFGR = (RCC_PLLCFGR & 63u) | (PLLI2S_N << 6) | (PLLI2S_R << 28);
    RCC_CR |= PLLI2S_ON;
    return smcu_cortex_wait_for(&RCC_CR, PLLI2S_READY, PLLI2S_READY);
}

static void start_dma(void)
{
    next_half = 0;
    DMA_CR = 0;
    (void)smcu_cortex_wait_for(&DMA_CR, DMA_ENABLE, 0u);
    DMA_LIFCR = STREAM_FLAGS;
    DMA_PAR = SPI_DR_ADDRESS;
    DMA_M0AR = (uint32_t)(uintptr_t)smcu_mic_dma;
    DMA_NDTR = sizeof(smcu_mic_dma) / 2u;
    DMA_FCR = 0; /* direct mode */
    /* channel 0, high priority, 16 bits to 16 bits, memory increments, circular, both interrupts */
    DMA_CR = (2u << 16) | (1u << 13) | (1u << 11) | (1u << 10) | (1u << 8) | (1u << 4) | (1u << 3) |
             DMA_ENABLE;
}

bool smcu_port_mic_start(void)
{
    RCC_APB1ENR |= RCC_SPI2;
    RCC_GPIO_ENR |= RCC_DMA1; /* both in AHB1ENR */
    (void)RCC_GPIO_ENR;
    if (!start_clock()) {
        return false;
    }
    start_pins();
    NVIC_PRIORITY(SMCU_MIC_IRQ) = LOWER_PRIORITY;
    NVIC_ISER(SMCU_MIC_IRQ) = NVIC_BIT(SMCU_MIC_IRQ);
    start_dma();
    I2S_PR = I2S_DIV;
    SPI_CR2 = RX_DMA;
    I2S_CFGR = I2S_MODE_MASTER_RECEIVE | FORMAT;
    I2S_CFGR |= I2S_ENABLE;
    return true;
}

void smcu_port_mic_stop(void)
{
    I2S_CFGR &= ~I2S_ENABLE;
    SPI_CR2 = 0;
    DMA_CR &= ~DMA_ENABLE;
    (void)smcu_cortex_wait_for(&DMA_CR, DMA_ENABLE, 0u);
    DMA_LIFCR = STREAM_FLAGS;
    NVIC_ICPR(SMCU_MIC_IRQ) = NVIC_BIT(SMCU_MIC_IRQ);
    (void)SPI_DR; /* what was received last, and its overrun */
    (void)SPI_SR;
    RCC_CR &= ~PLLI2S_ON;
}

/* Both flags are set when the interrupt was kept waiting: the halves are still taken in order. */
void smcu_chip_hear(void)
{
    const uint32_t done = DMA_LISR & (HALF_DONE | WHOLE_DONE);

    DMA_LIFCR = done;
    for (uint32_t turn = 0; turn < 2u; turn++) {
        if ((done & (next_half == 0u ? HALF_DONE : WHOLE_DONE)) != 0u) {
            smcu_microphone_half(smcu_mic_dma[next_half], HALF_BYTES);
            next_half ^= 1u;
        }
    }
}

#endif

/* Clock of the STM32U575: PLL1 from the internal oscillator (RM0456: "PLL", "EPOD booster",
 * "FLASH read access latency"). The buses run at the core's clock. */
#include "port_stm32.h"

#define HSI_HZ 16000000u
#define PLL_IN_HZ 8000000u
#define VCO_HZ (2u * SMCU_CLOCK_HZ) /* R = 2 */
#define FLASH_STEP_HZ 32000000u     /* one wait state more for each, in range 1 */

#if SMCU_CLOCK_HZ > 160000000u || SMCU_CLOCK_HZ < 64000000u || VCO_HZ % PLL_IN_HZ != 0u
#error "the board's file: build.f_cpu is 64 to 160 MHz, in steps of 4"
#endif
#if SMCU_HSE_HZ != 0u
#error "the board's file: this port runs from the internal oscillator, hse_hz is 0"
#endif

/* Core voltage range 1 with the booster, which the oscillator feeds: before more than 55 MHz. */
static bool raise_voltage(void)
{
    RCC_AHB3ENR |= 1u << 2; /* PWR */
    (void)RCC_AHB3ENR;
    PWR_VOSR |= 3u << 16;
    if (!smcu_cortex_wait_for(&PWR_VOSR, 1u << 15, 1u << 15)) {
        return false;
    }
    PWR_VOSR |= 1u << 18;
    return smcu_cortex_wait_for(&PWR_VOSR, 1u << 14, 1u << 14);
}

static bool start_pll(void)
{
    /* from HSI16, 8 to 16 MHz in, M = 2, output R */
    RCC_PLL1CFGR = 2u | (3u << 2) | (1u << 8) | (1u << 18);
    if (!raise_voltage()) {
        return false;
    }
    RCC_PLL1DIVR = (VCO_HZ / PLL_IN_HZ - 1u) | (1u << 9) | (1u << 16) | (1u << 24);
    RCC_CR |= 1u << 24; /* PLL1ON */
    return smcu_cortex_wait_for(&RCC_CR, 1u << 25, 1u << 25);
}

smcu_stm32_clocks_t smcu_stm32_start_clock(void)
{
    RCC_CR |= 1u << 8; /* HSION: the chip started at 4 MHz from another oscillator */
    (void)smcu_cortex_wait_for(&RCC_CR, 1u << 10, 1u << 10);
    ICACHE_CR |= 1u;
    if (start_pll()) {
        FLASH_ACR = ((SMCU_CLOCK_HZ - 1u) / FLASH_STEP_HZ) | (1u << 8); /* prefetch */
        (void)FLASH_ACR;
        RCC_CFGR1 |= 3u; /* run from PLL1 */
        if (smcu_cortex_wait_for(&RCC_CFGR1, 3u << 2, 3u << 2)) {
            return (smcu_stm32_clocks_t){SMCU_CLOCK_HZ, SMCU_CLOCK_HZ, SMCU_CLOCK_HZ};
        }
    }
    RCC_CFGR1 = (RCC_CFGR1 & ~3u) | 1u; /* run from HSI16 */
    return (smcu_stm32_clocks_t){HSI_HZ, HSI_HZ, HSI_HZ};
}

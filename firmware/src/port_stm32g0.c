/* Clock of the STM32G0: the PLL from the internal oscillator (RM0444: "PLL configuration register",
 * "FLASH access latency"). The bus and its timers run at the core's clock. */
#include "port_stm32.h"

#define HSI_HZ 16000000u
#define VCO_HZ (2u * SMCU_CLOCK_HZ) /* R = 2 */
#define FLASH_STEP_HZ 24000000u     /* one wait state more for each, in range 1 */

#if SMCU_CLOCK_HZ > 64000000u || VCO_HZ < 96000000u || VCO_HZ % HSI_HZ != 0u
#error "the board's file: build.f_cpu is 48 to 64 MHz, in steps of 8"
#endif
#if SMCU_HSE_HZ != 0u
#error "the board's file: this port runs from the internal oscillator, hse_hz is 0"
#endif

smcu_stm32_clocks_t smcu_stm32_start_clock(void)
{
    const smcu_stm32_clocks_t internal = {HSI_HZ, HSI_HZ, HSI_HZ};

    /* from HSI16, M = 1, N, R = 2 with its output on */
    RCC_PLLCFGR = 2u | ((VCO_HZ / HSI_HZ) << 8) | (1u << 28) | (1u << 29);
    RCC_CR |= 1u << 24; /* PLLON */
    if (!smcu_cortex_wait_for(&RCC_CR, 1u << 25, 1u << 25)) {
        return internal;
    }
    /* wait states, prefetch, instruction cache */
    FLASH_ACR = (FLASH_ACR & ~7u) | ((SMCU_CLOCK_HZ - 1u) / FLASH_STEP_HZ) | (1u << 8) | (1u << 9);
    (void)FLASH_ACR;
    RCC_CFGR = 2u; /* run from the PLL, no prescalers */
    if (!smcu_cortex_wait_for(&RCC_CFGR, 7u << 3, 2u << 3)) {
        return internal;
    }
    return (smcu_stm32_clocks_t){SMCU_CLOCK_HZ, SMCU_CLOCK_HZ, SMCU_CLOCK_HZ};
}

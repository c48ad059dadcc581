/* Clock and caches of the STM32H743 (RM0433: "PLL description", "Voltage scaling", "FLASH read
 * operations"). The buses run at half the core's clock, the peripherals at a quarter. */
#include "port_stm32.h"

#define HSI_HZ 64000000u
#define PLL_IN_HZ 2000000u
#define VCO_HZ (2u * SMCU_CLOCK_HZ) /* P = 2 */

#if SMCU_CLOCK_HZ > 400000000u || SMCU_CLOCK_HZ < 100000000u || VCO_HZ % PLL_IN_HZ != 0u
#error "the board's file: build.f_cpu is 100 to 400 whole MHz (voltage scale 1)"
#endif
#if SMCU_HSE_HZ % PLL_IN_HZ != 0u || (SMCU_HSE_HZ != 0u && SMCU_HSE_HZ < 4000000u) || \
    SMCU_HSE_HZ > 48000000u
#error "the board's file: hse_hz is 0 (no crystal) or 4 to 48 MHz, an even number"
#endif

/* Program and data caches; the RAM that is used (DTCM) is not cached, so nothing gets stale. */
static void start_caches(void)
{
    SCB_CSSELR = 0; /* level 1, data */
    __asm__ volatile("dsb" ::: "memory");
    const uint32_t sets = ((SCB_CCSIDR >> 13) & 0x7fffu) + 1u;
    const uint32_t ways = ((SCB_CCSIDR >> 3) & 0x3ffu) + 1u;

    for (uint32_t set = 0; set < sets; set++) {
        for (uint32_t way = 0; way < ways; way++) {
            SCB_DCISW = (way << 30) | (set << 5); /* 4 ways, lines of 32 bytes */
        }
    }
    SCB_ICIALLU = 0;
    __asm__ volatile("dsb\n isb" ::: "memory");
    SCB_CCR |= (1u << 17) | (1u << 16); /* IC, DC */
    __asm__ volatile("dsb\n isb" ::: "memory");
}

/* The crystal's frequency when it started, else that of the internal oscillator. */
static uint32_t start_oscillator(void)
{
    if (SMCU_HSE_HZ != 0u) {
        RCC_CR |= (1u << 16) | ((uint32_t)SMCU_HSE_BYPASS << 18); /* HSEON, HSEBYP */
        if (smcu_cortex_wait_for(&RCC_CR, 1u << 17, 1u << 17)) {
            return SMCU_HSE_HZ;
        }
    }
    return HSI_HZ;
}

/* The supply's configuration must be written once before the voltage may be raised. */
static bool raise_voltage(void)
{
    PWR_CR3 = (PWR_CR3 & ~1u) | (1u << 1) | (1u << 2); /* no bypass; LDOEN, SCUEN */
    if (!smcu_cortex_wait_for(&PWR_CSR1, 1u << 13, 1u << 13)) {
        return false;
    }
    PWR_D3CR |= 3u << 14; /* scale 1 */
    return smcu_cortex_wait_for(&PWR_D3CR, 1u << 13, 1u << 13);
}

smcu_stm32_clocks_t smcu_stm32_start_clock(void)
{
    const smcu_stm32_clocks_t internal = {HSI_HZ, HSI_HZ, HSI_HZ};
    const uint32_t source_hz = start_oscillator();

    start_caches();
    if (!raise_voltage()) {
        return internal;
    }
    RCC_PLLCKSELR = (RCC_PLLCKSELR & ~0x3f3u) | ((source_hz == HSI_HZ) ? 0u : 2u) |
                    ((source_hz / PLL_IN_HZ) << 4);
    RCC_PLLCFGR = (1u << 16) | (1u << 2); /* output P; 2 to 4 MHz in; wide VCO range */
    RCC_PLL1DIVR = (VCO_HZ / PLL_IN_HZ - 1u) | (1u << 9) | (1u << 16) | (1u << 24);
    RCC_CR |= 1u << 24; /* PLL1ON */
    if (!smcu_cortex_wait_for(&RCC_CR, 1u << 25, 1u << 25)) {
        return internal;
    }
    FLASH_ACR = 2u | (2u << 4); /* 2 wait states: up to 210 MHz on the bus */
    (void)FLASH_ACR;
    RCC_D1CFGR = 8u | (4u << 4); /* HPRE = 2, D1PPRE = 2 */
    RCC_D2CFGR = (4u << 4) | (4u << 8);
    RCC_D3CFGR = 4u << 4;
    RCC_CFGR = 3u; /* run from PLL1 */
    if (!smcu_cortex_wait_for(&RCC_CFGR, 7u << 3, 3u << 3)) {
        return (smcu_stm32_clocks_t){HSI_HZ, HSI_HZ / 4u, HSI_HZ / 2u};
    }
    return (smcu_stm32_clocks_t){SMCU_CLOCK_HZ, UART_HZ, SMCU_CLOCK_HZ / 2u};
}

/* Clock of the STM32F4: the PLL's numbers come from the board's file and are checked here.
 *
 * RM0090, "RCC PLL configuration register", "Relation between CPU clock frequency and flash memory
 * read time"; RM0383 and RM0390 likewise. */
#include "port_stm32.h"

#define HSI_HZ 16000000u
#define PLL_IN_HZ 1000000u
#define VCO_HZ (2u * SMCU_CLOCK_HZ) /* P = 2 */
#define FLASH_STEP_HZ 30000000u     /* one wait state more for each, at 2.7 V and above */

#if defined(SMCU_STM32F405) || defined(SMCU_STM32F407)
#define VOLTAGE_SCALE_1 (1u << 14) /* a field of one bit: RM0090, PWR_CR */
#define CORE_MAX_HZ 168000000u
#elif defined(SMCU_STM32F411)
#define VOLTAGE_SCALE_1 (3u << 14)
#define CORE_MAX_HZ 100000000u
#elif defined(SMCU_STM32F446)
#define VOLTAGE_SCALE_1 (3u << 14)
#define CORE_MAX_HZ 168000000u /* more needs over-drive, which this port leaves off */
#else
#error "an STM32F4 that this port does not know: add its limits"
#endif

#define APB_CODE(div) ((div) == 1u ? 0u : (div) == 2u ? 4u : 5u)
#define APB1_DIV APB_DIV(APB1_MAX_HZ)
#define APB2_DIV APB_DIV(APB2_MAX_HZ)

#if SMCU_CLOCK_HZ > CORE_MAX_HZ || SMCU_CLOCK_HZ < 50000000u || SMCU_CLOCK_HZ % PLL_IN_HZ != 0u
#error "the board's file: build.f_cpu is out of the PLL's range, or no whole number of MHz"
#endif
#if SMCU_HSE_HZ % PLL_IN_HZ != 0u || (SMCU_HSE_HZ != 0u && SMCU_HSE_HZ < 4000000u) || \
    SMCU_HSE_HZ > 26000000u
#error "the board's file: hse_hz is 0 (no crystal) or 4 to 26 whole MHz"
#endif

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

smcu_stm32_clocks_t smcu_stm32_start_clock(void)
{
    const smcu_stm32_clocks_t internal = {HSI_HZ, HSI_HZ, HSI_HZ};
    const uint32_t source_hz = start_oscillator();

    RCC_APB1ENR |= 1u << 28; /* PWR */
    (void)RCC_APB1ENR;
    PWR_CR |= VOLTAGE_SCALE_1;
    /* M: 1 MHz into the PLL; N, P = 2; Q = 8 for nothing that is used */
    RCC_PLLCFGR = (source_hz / PLL_IN_HZ) | ((VCO_HZ / PLL_IN_HZ) << 6) | (0u << 16) |
                  ((source_hz == HSI_HZ) ? 0u : 1u << 22) | (8u << 24);
    RCC_CR |= 1u << 24; /* PLLON */
    if (!smcu_cortex_wait_for(&RCC_CR, 1u << 25, 1u << 25)) {
        return internal;
    }
    /* wait states, prefetch, instruction and data caches */
    FLASH_ACR = (SMCU_CLOCK_HZ - 1u) / FLASH_STEP_HZ | (1u << 8) | (1u << 9) | (1u << 10);
    (void)FLASH_ACR;
    RCC_CFGR = (APB_CODE(APB1_DIV) << 10) | (APB_CODE(APB2_DIV) << 13);
    RCC_CFGR |= 2u; /* run from the PLL */
    if (!smcu_cortex_wait_for(&RCC_CFGR, 3u << 2, 2u << 2)) {
        return internal;
    }
    return (smcu_stm32_clocks_t){SMCU_CLOCK_HZ, UART_HZ,
                                 SMCU_CLOCK_HZ / APB1_DIV * (APB1_DIV == 1u ? 1u : 2u)};
}

/* Port to the STM32F405: registers only. The same code runs on the chip and in QEMU.
 *
 * QEMU has no RCC (its registers read 0), no DWT counter and no RNG, so every wait for a ready bit
 * ends after a while and the port goes on with what it has. Ticks are the DWT's CPU cycles; where
 * that counter stands still they are TIM2's, which under QEMU's `-icount shift=0` counts exactly
 * one per instruction: measured at boot before the port says so. */
#include "port_stm32f4.h"

#include <stdbool.h>

#include "port.h"
#include "ring.h"
#include "version.h"

#ifndef SMCU_HSE_HZ
#define SMCU_HSE_HZ 8000000u /* crystal; the board's file sets it. 0: none */
#endif
#define HSI_HZ 16000000u
#define PLL_HZ 168000000u
#define BAUD 921600u
#define READY_POLLS 200000u /* 20 ms or more at 16 MHz; a crystal needs about 2 ms */
#define READY_POLLS_EMULATED 10u
#define WAKE_HZ 16u         /* of the main loop without audio; the counter has 24 bits */
#define EMULATED_TIMER_HZ 1000000000u

static smcu_port_info_t info = {.board = SMCU_BOARD, .mcu = "STM32F405"};
static volatile const uint32_t *tick_counter; /* DWT or TIM2 */
static volatile uint32_t interrupt_ticks;     /* spent in interrupts since boot */
static uint32_t usart_entry_ticks, systick_entry_ticks; /* what an interrupt costs outside its body */
static uint32_t timer_ticks_per_us;
static uint32_t ready_polls = READY_POLLS;
static uint32_t boot_count __attribute__((section(".noinit")));

static bool wait_for(volatile const uint32_t *reg, uint32_t mask, uint32_t value)
{
    for (uint32_t poll = 0; poll < ready_polls; poll++) {
        if ((*reg & mask) == value) {
            return true;
        }
    }
    return false;
}

/* The cycle counter of every STM32F4 counts; QEMU's stands still, and no clock will get ready. */
static void find_emulator(void)
{
    DEBUG_DEMCR |= 1u << 24; /* TRCENA */
    DWT_CYCCNT = 0;
    DWT_CTRL |= 1u;
    __asm__ volatile("dsb\n isb" ::: "memory");
    if (DWT_CYCCNT == 0u && DWT_CYCCNT == 0u) {
        ready_polls = READY_POLLS_EMULATED;
    }
}

/* 168 MHz from the crystal, else from the internal oscillator, else 16 MHz. Returns the clock. */
static uint32_t start_clock(void)
{
    uint32_t source_hz = HSI_HZ;

    if (SMCU_HSE_HZ != 0u) {
        RCC_CR |= 1u << 16; /* HSEON */
        if (wait_for(&RCC_CR, 1u << 17, 1u << 17)) {
            source_hz = SMCU_HSE_HZ;
        }
    }
    /* M: 1 MHz into the PLL, N = 336, P = 2, Q = 7 */
    RCC_PLLCFGR = (source_hz / 1000000u) | (336u << 6) | (0u << 16) |
                  ((source_hz == HSI_HZ) ? 0u : 1u << 22) | (7u << 24);
    RCC_CR |= 1u << 24; /* PLLON */
    if (!wait_for(&RCC_CR, 1u << 25, 1u << 25)) {
        return HSI_HZ;
    }
    FLASH_ACR = 5u | (1u << 8) | (1u << 9) | (1u << 10); /* 5 wait states, prefetch, caches */
    (void)FLASH_ACR;
    RCC_CFGR = (5u << 10) | (4u << 13); /* APB1 = 42 MHz, APB2 = 84 MHz */
    RCC_CFGR |= 2u;                     /* run from the PLL */
    return wait_for(&RCC_CFGR, 3u << 2, 2u << 2) ? PLL_HZ : HSI_HZ;
}

static void start_usart(uint32_t apb2_hz)
{
    RCC_AHB1ENR |= 1u << 0; /* GPIOA */
    RCC_APB2ENR |= 1u << 4; /* USART1 */
    (void)RCC_APB2ENR;
    GPIOA_AFRH = (GPIOA_AFRH & ~0xff0u) | 0x770u;               /* PA9, PA10: AF7 */
    GPIOA_OSPEEDR |= 2u << 18;                                  /* TX fast */
    GPIOA_PUPDR = (GPIOA_PUPDR & ~(3u << 20)) | (1u << 20);     /* RX pulled up */
    GPIOA_MODER = (GPIOA_MODER & ~(0xfu << 18)) | (0xau << 18); /* alternate function */
    USART1_BRR = (apb2_hz + BAUD / 2u) / BAUD;
    USART1_CR1 = (1u << 13) | (1u << 5) | (1u << 3) | (1u << 2); /* UE, RXNEIE, TE, RE */
}

/* 2 * turns instructions, plus the same few at every call: so it is never inlined. */
__attribute__((noinline)) static uint32_t timed_loop(uint32_t turns)
{
    const uint32_t start = TIM2_CNT;

    __asm__ volatile("1: subs %0, %0, #1\n bne 1b" : "+r"(turns) : : "cc");
    return TIM2_CNT - start;
}

static void start_counters(uint32_t clock_hz)
{
    RCC_APB1ENR |= 1u << 0; /* TIM2, at twice the APB1 clock: half the core's; 16 MHz without PLL */
    (void)RCC_APB1ENR;
    TIM2_PSC = 0;
    TIM2_ARR = 0xffffffffu;
    TIM2_EGR = 1u;
    TIM2_CR1 = 1u;
    if (ready_polls == READY_POLLS) {
        tick_counter = &DWT_CYCCNT;
        info.tick_unit = "cycles";
        info.tick_hz = clock_hz;
        info.clock_hz = clock_hz;
        timer_ticks_per_us = ((clock_hz == PLL_HZ) ? clock_hz / 2u : clock_hz) / 1000000u;
        return;
    }
    /* Two loops tell what a tick is; QEMU's clock for this machine is the nominal one. */
    const bool exact = timed_loop(3000) - timed_loop(1000) == 4000u;
    tick_counter = &TIM2_CNT;
    info.tick_unit = exact ? "instructions" : "ns";
    info.tick_hz = EMULATED_TIMER_HZ;
    info.clock_hz = PLL_HZ;
    timer_ticks_per_us = EMULATED_TIMER_HZ / 1000000u;
}

/* Ticks from pending an interrupt to behind it. Never inlined: the two calls below must execute the
 * same instructions. */
__attribute__((noinline)) static uint32_t pend_ticks(volatile uint32_t *pend, uint32_t bit)
{
    const uint32_t start = *tick_counter;

    *pend = bit;
    __asm__ volatile("dsb\n isb" ::: "memory");
    return *tick_counter - start;
}

/* What an interrupt costs outside its body, which counts itself: entry, exit and a few instructions.
 * Pended once with interrupts off, then with interrupts on. */
static uint32_t entry_ticks(volatile uint32_t *pend, uint32_t set, volatile uint32_t *unpend,
                            uint32_t clear)
{
    __asm__ volatile("cpsid i" ::: "memory");
    const uint32_t pending = pend_ticks(pend, set);
    *unpend = clear;
    __asm__ volatile("cpsie i\n isb" ::: "memory");
    const uint32_t before = interrupt_ticks;
    const uint32_t handled = pend_ticks(pend, set);
    return handled - pending - (interrupt_ticks - before);
}

static void start_interrupts(void)
{
    NVIC_ISER(USART1_IRQ) = 1u << (USART1_IRQ % 32u);
    if (info.tick_unit[0] != 'n') { /* host time is too noisy to be measured once */
        usart_entry_ticks = entry_ticks(&NVIC_ISPR(USART1_IRQ), 1u << (USART1_IRQ % 32u),
                                        &NVIC_ICPR(USART1_IRQ), 1u << (USART1_IRQ % 32u));
        systick_entry_ticks = entry_ticks(&SCB_ICSR, 1u << 26, &SCB_ICSR, 1u << 25);
    }
    SYSTICK_LOAD = info.clock_hz / WAKE_HZ - 1u;
    SYSTICK_VAL = 0;
    SYSTICK_CTRL = 7u;
}

/* Random where the chip's generator answers; else a count of the boots since power came. */
static uint32_t boot_id(void)
{
    uint32_t id = ++boot_count * 2654435761u;

    RCC_AHB2ENR |= 1u << 6;
    (void)RCC_AHB2ENR;
    RNG_CR = 1u << 2;
    if (info.tick_unit[0] == 'c' && wait_for(&RNG_SR, 1u, 1u)) {
        id ^= RNG_DR;
    }
    return id;
}

void smcu_port_init(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    find_emulator();
    const uint32_t clock_hz = start_clock();

    start_counters(clock_hz);
    start_interrupts(); /* before the first byte can come: what it measures must not be disturbed */
    start_usart((clock_hz == PLL_HZ) ? PLL_HZ / 2u : clock_hz);
    info.boot_id = boot_id();
    info.reset_reason = RCC_CSR >> 24;
    RCC_CSR |= 1u << 24; /* RMVF: the next reset starts with clean flags */
    smcu_stm32f4_print("\r\nshiftmcu " SMCU_FW_VERSION " on " SMCU_BOARD "\r\n");
    smcu_port_write((const uint8_t[]){0}, 1);
}

const smcu_port_info_t *smcu_port_info(void)
{
    return &info;
}

uint32_t smcu_port_ticks(void)
{
    __asm__ volatile("cpsid i" ::: "memory");
    const uint32_t ticks = *tick_counter - interrupt_ticks;
    __asm__ volatile("cpsie i" ::: "memory");
    return ticks;
}

uint32_t smcu_port_micros(void)
{
    static uint32_t last, rest, micros;
    const uint32_t now = TIM2_CNT;
    const uint32_t passed = now - last;

    last = now;
    micros += passed / timer_ticks_per_us;
    rest += passed % timer_ticks_per_us;
    if (rest >= timer_ticks_per_us) {
        rest -= timer_ticks_per_us;
        micros++;
    }
    return micros;
}

void smcu_port_write(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)wait_for(&USART1_SR, 1u << 7, 1u << 7); /* TXE */
        USART1_DR = bytes[i];
    }
}

void smcu_port_wait(void)
{
    __asm__ volatile("cpsid i" ::: "memory");
    if (smcu_ring_used(&smcu_rx_ring) == 0u) {
        __asm__ volatile("wfi" ::: "memory"); /* a pending interrupt wakes it, masked or not */
    }
    __asm__ volatile("cpsie i" ::: "memory");
}

void smcu_usart1_irq(void)
{
    const uint32_t start = *tick_counter;
    const uint32_t status = USART1_SR;

    if (status & ((1u << 5) | (1u << 3))) { /* RXNE, ORE; reading the data clears both */
        smcu_ring_put(&smcu_rx_ring, (uint8_t)USART1_DR);
    }
    if (status & (1u << 3)) {
        smcu_rx_ring.overruns++;
    }
    interrupt_ticks += *tick_counter - start + usart_entry_ticks;
}

void smcu_systick_irq(void)
{
    const uint32_t start = *tick_counter;

    interrupt_ticks += *tick_counter - start + systick_entry_ticks;
}

void smcu_stm32f4_print(const char *text)
{
    while (*text != '\0') {
        smcu_port_write((const uint8_t *)text, 1);
        text++;
    }
}

void smcu_stm32f4_print_hex(uint32_t value)
{
    for (unsigned shift = 32; shift != 0;) {
        shift -= 4;
        smcu_port_write((const uint8_t *)&"0123456789abcdef"[(value >> shift) & 15u], 1);
    }
}

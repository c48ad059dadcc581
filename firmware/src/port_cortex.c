/* Port to Cortex-M: what does not depend on the chip. The same code runs on hardware and in QEMU.
 *
 * Ticks are the DWT's CPU cycles. ARMv6-M has no such counter: a chip's timer takes its place. In
 * an emulator the DWT stands still, and a timed loop shows at boot whether the timer counts exactly
 * one per instruction (QEMU's STM32 with `-icount shift=0`) before the port says so. */
#include "port_cortex.h"

#include "ring.h"

#define READY_POLLS 200000u /* 20 ms or more at 16 MHz; a crystal needs about 2 ms */
#define READY_POLLS_EMULATED 10u
#define WAKE_HZ 16u /* of the main loop without audio; the counter has 24 bits */
#define NS_HZ 1000000000u

static smcu_port_info_t info = {.board = SMCU_BOARD, .mcu = SMCU_MCU};
static smcu_port_fault_t fault;
static bool has_fault;
static bool has_cycle_counter;
static bool is_hardware = true;
static volatile uint32_t interrupt_ticks;             /* spent in interrupts since boot */
static uint32_t uart_entry_ticks, systick_entry_ticks; /* what one costs outside its body */
static uint32_t timer_ticks_per_us;

static uint32_t ticks_now(void)
{
    return has_cycle_counter ? DWT_CYCCNT : smcu_chip_timer();
}

bool smcu_cortex_is_hardware(void)
{
    return is_hardware;
}

bool smcu_cortex_wait_for(volatile const uint32_t *reg, uint32_t mask, uint32_t value)
{
    const uint32_t polls = is_hardware ? READY_POLLS : READY_POLLS_EMULATED;

    for (uint32_t poll = 0; poll < polls; poll++) {
        if ((*reg & mask) == value) {
            return true;
        }
    }
    return false;
}

/* The cycle counter of every core that has one counts; QEMU's stands still. */
static void find_emulator(void)
{
#ifdef SMCU_CHIP_IS_EMULATED
    is_hardware = false;
#elif !defined(__ARM_ARCH_6M__)
    DEBUG_DEMCR |= 1u << 24; /* TRCENA */
    DWT_LAR = 0xc5acce55u;   /* the Cortex-M7's lock; others ignore it */
    DWT_CYCCNT = 0;
    DWT_CTRL |= 1u;
    __asm__ volatile("dsb\n isb" ::: "memory");
    has_cycle_counter = DWT_CYCCNT != 0u || DWT_CYCCNT != 0u;
    is_hardware = has_cycle_counter;
#endif
}

/* 2 * turns instructions, plus the same few at every call: so it is never inlined. */
__attribute__((noinline)) static uint32_t timed_loop(uint32_t turns)
{
    const uint32_t start = smcu_chip_timer();

    __asm__ volatile(".syntax unified\n1: subs %0, %0, #1\n bne 1b" : "+l"(turns) : : "cc");
    return smcu_chip_timer() - start;
}

static void start_counters(uint32_t clock_hz)
{
    const uint32_t timer_hz = smcu_chip_start_timer(clock_hz);

    timer_ticks_per_us = timer_hz / 1000000u;
    info.clock_hz = is_hardware ? clock_hz : SMCU_CLOCK_HZ;
    info.tick_hz = has_cycle_counter ? clock_hz : timer_hz;
    if (has_cycle_counter || (is_hardware && timer_hz == clock_hz)) {
        info.tick_unit = "cycles";
    } else if (timed_loop(3000) - timed_loop(1000) == 4000u) {
        info.tick_unit = "instructions";
    } else {
        info.tick_unit = (timer_hz == NS_HZ) ? "ns" : "ticks";
    }
}

/* Ticks from pending an interrupt to behind it. Never inlined: the two calls below must execute the
 * same instructions. */
__attribute__((noinline)) static uint32_t pend_ticks(volatile uint32_t *pend, uint32_t bit)
{
    const uint32_t start = ticks_now();

    *pend = bit;
    __asm__ volatile("dsb\n isb" ::: "memory");
    return ticks_now() - start;
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
    NVIC_ISER(SMCU_UART_IRQ) = NVIC_BIT(SMCU_UART_IRQ);
    if (info.tick_unit[0] == 'c' || info.tick_unit[0] == 'i') { /* others are too coarse or noisy */
        uart_entry_ticks = entry_ticks(&NVIC_ISPR(SMCU_UART_IRQ), NVIC_BIT(SMCU_UART_IRQ),
                                       &NVIC_ICPR(SMCU_UART_IRQ), NVIC_BIT(SMCU_UART_IRQ));
        systick_entry_ticks = entry_ticks(&SCB_ICSR, 1u << 26, &SCB_ICSR, 1u << 25);
    }
    SYSTICK_LOAD = info.clock_hz / WAKE_HZ - 1u;
    SYSTICK_VAL = 0;
    SYSTICK_CTRL = 7u;
}

static void find_fault(void)
{
    const smcu_port_fault_t *record = smcu_bare_take_fault();
    bool watchdog = false;

    info.reset_reason = smcu_chip_reset_reason(&watchdog);
    if (record != NULL) {
        fault = *record;
    } else if (watchdog) {
        fault.reason = SMCU_FAULT_WATCHDOG;
    }
    has_fault = record != NULL || watchdog;
}

void smcu_port_init(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    find_emulator();
    const uint32_t clock_hz = smcu_chip_start_clock();

    start_counters(clock_hz);
    find_fault();
    start_interrupts(); /* before the first byte can come: what it measures must not be disturbed */
    smcu_chip_start_pins(clock_hz);
    smcu_chip_start_watchdog();
    info.boot_id = smcu_bare_boot_id();
    smcu_bare_greet();
}

const smcu_port_info_t *smcu_port_info(void)
{
    return &info;
}

const smcu_port_fault_t *smcu_port_fault(void)
{
    return has_fault ? &fault : NULL;
}

uint32_t smcu_port_ticks(void)
{
    __asm__ volatile("cpsid i" ::: "memory");
    const uint32_t ticks = ticks_now() - interrupt_ticks;
    __asm__ volatile("cpsie i" ::: "memory");
    return ticks;
}

uint32_t smcu_port_micros(void)
{
    return smcu_bare_micros(smcu_chip_timer(), timer_ticks_per_us);
}

void smcu_port_write(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        smcu_chip_send(bytes[i]);
    }
}

#ifdef SMCU_MIC
static uint32_t slept_us;

uint32_t smcu_port_slept_us(void)
{
    return slept_us;
}

static void light_sleep(void)
{
    const uint32_t before = smcu_chip_timer();

    __asm__ volatile("wfi" ::: "memory"); /* a pending interrupt wakes it, masked or not */
    slept_us += (smcu_chip_timer() - before) / timer_ticks_per_us;
}
#else
static void light_sleep(void)
{
    __asm__ volatile("wfi" ::: "memory"); /* a pending interrupt wakes it, masked or not */
}
#endif

void smcu_port_wait(void)
{
    __asm__ volatile("cpsid i" ::: "memory");
    if (smcu_ring_used(&smcu_rx_ring) == 0u) {
        light_sleep();
    }
    __asm__ volatile("cpsie i" ::: "memory");
}

void smcu_port_alive(void)
{
    smcu_chip_feed_watchdog();
}

void smcu_port_gate(bool high)
{
    smcu_chip_gate(high);
}

void smcu_cortex_uart_irq(void)
{
    const uint32_t start = ticks_now();

    smcu_chip_receive();
    interrupt_ticks += ticks_now() - start + uart_entry_ticks;
}

#ifdef SMCU_MIC
void smcu_cortex_mic_irq(void)
{
    const uint32_t before = interrupt_ticks, start = ticks_now();

    smcu_chip_hear(); /* the UART's interrupt may come in between: it is within these ticks */
    __asm__ volatile("cpsid i" ::: "memory");
    interrupt_ticks = before + (ticks_now() - start) + uart_entry_ticks; /* entered as that one is */
    __asm__ volatile("cpsie i" ::: "memory");
}
#endif

void smcu_cortex_systick_irq(void)
{
    const uint32_t start = ticks_now();

    interrupt_ticks += ticks_now() - start + systick_entry_ticks;
}

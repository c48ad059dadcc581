/* Port to QEMU's RISC-V machine `virt` in machine mode: an NS16550 UART on the PLIC, time from the
 * CLINT, ticks from mcycle. With `-icount shift=0` mcycle counts one per instruction, which a timed
 * loop checks at boot.
 *
 * Machine: QEMU, "'virt' Generic Virtual Platform". Interrupts and CSRs: The RISC-V Instruction Set
 * Manual, Volume II, chapter 3; PLIC and CLINT as in SiFive's FU540-C000 Manual, chapters 9 and 10. */
#include "port_bare.h"
#include "ring.h"

#define UART_RX (*(volatile uint8_t *)0x10000000u)
#define UART_TX UART_RX
#define UART_IER (*(volatile uint8_t *)0x10000001u)
#define UART_FCR (*(volatile uint8_t *)0x10000002u)
#define UART_LCR (*(volatile uint8_t *)0x10000003u)
#define UART_MCR (*(volatile uint8_t *)0x10000004u)
#define UART_LSR (*(volatile uint8_t *)0x10000005u)
#define LSR_RX_READY 1u
#define LSR_OVERRUN 2u
#define LSR_TX_READY 0x20u
#define PLIC_PRIORITY REG(0x0c000000u + 4u * SMCU_UART_IRQ)
#define PLIC_ENABLE REG(0x0c002000u)
#define PLIC_THRESHOLD REG(0x0c200000u)
#define PLIC_CLAIM REG(0x0c200004u)
#define CLINT_MSIP REG(0x02000000u)
#define CLINT_MTIMECMP_LOW REG(0x02004000u)
#define CLINT_MTIMECMP_HIGH REG(0x02004004u)
#define CLINT_MTIME_LOW REG(0x0200bff8u)
#define CLINT_MTIME_HIGH REG(0x0200bffcu)
#define FINISHER REG(0x00100000u)
#define FINISHER_RESET 0x7777u
#define TIMER_TICKS_PER_US 10u
#define WAKE_TICKS 625000u /* 16 Hz: of the main loop without audio */
#define MIE_SOFTWARE (1u << 3)
#define MIE_TIMER (1u << 7)
#define MIE_EXTERNAL (1u << 11)
#define MSTATUS_MIE "8"

int main(int argc, char **argv);

static smcu_port_info_t info = {.board = SMCU_BOARD,
                                .mcu = "RV32IMC",
                                .clock_hz = SMCU_CLOCK_HZ,
                                .tick_hz = SMCU_CLOCK_HZ};
static const smcu_port_fault_t *fault;
static volatile uint32_t interrupt_ticks; /* spent in interrupts since boot */
static uint32_t entry_ticks;              /* what one costs outside its body */

static inline uint32_t ticks_now(void)
{
    uint32_t ticks;

    __asm__ volatile("csrr %0, mcycle" : "=r"(ticks));
    return ticks;
}

static void interrupts_off(void)
{
    __asm__ volatile("csrci mstatus, " MSTATUS_MIE ::: "memory");
}

static void interrupts_on(void)
{
    __asm__ volatile("csrsi mstatus, " MSTATUS_MIE ::: "memory");
}

static void start_wake_timer(void)
{
    CLINT_MTIMECMP_HIGH = 0xffffffffu; /* no match while the halves do not belong together */
    const uint32_t low = CLINT_MTIME_LOW + WAKE_TICKS;

    CLINT_MTIMECMP_LOW = low;
    CLINT_MTIMECMP_HIGH = CLINT_MTIME_HIGH + (low < WAKE_TICKS ? 1u : 0u);
}

static void receive(void)
{
    const uint32_t source = PLIC_CLAIM;
    uint8_t status = UART_LSR;

    while ((status & LSR_RX_READY) != 0u) {
        if ((status & LSR_OVERRUN) != 0u) {
            smcu_rx_ring.overruns++;
        }
        smcu_ring_put(&smcu_rx_ring, UART_RX);
        status = UART_LSR;
    }
    PLIC_CLAIM = source;
}

__attribute__((interrupt("machine"), used)) void smcu_riscv_interrupt(void)
{
    const uint32_t start = ticks_now();
    uint32_t pending;

    __asm__ volatile("csrr %0, mip" : "=r"(pending));
    CLINT_MSIP = 0;
    if ((pending & MIE_TIMER) != 0u) {
        start_wake_timer();
    }
    if ((pending & MIE_EXTERNAL) != 0u) {
        receive();
    }
    interrupt_ticks += ticks_now() - start + entry_ticks;
}

__attribute__((noreturn, used)) void smcu_riscv_fault(uint32_t return_address)
{
    smcu_port_fault_t crash = {.lr = return_address};

    __asm__ volatile("csrr %0, mcause" : "=r"(crash.reason));
    __asm__ volatile("csrr %0, mepc" : "=r"(crash.pc));
    __asm__ volatile("csrr %0, mtval" : "=r"(crash.status));
    smcu_bare_note_fault(&crash);
    FINISHER = FINISHER_RESET;
    for (;;) {
    }
}

/* Exceptions are crashes; what the stack holds does not matter any more. */
__attribute__((naked, aligned(4))) static void trap(void)
{
    __asm__ volatile("csrw mscratch, t0\n csrr t0, mcause\n bgez t0, 1f\n"
                     "csrr t0, mscratch\n j smcu_riscv_interrupt\n"
                     "1: mv a0, ra\n la sp, smcu_stack_top\n j smcu_riscv_fault");
}

__attribute__((noreturn, used)) void smcu_riscv_start(void)
{
    smcu_bare_start_memory();
    (void)main(0, NULL);
    for (;;) {
        __asm__ volatile("wfi");
    }
}

__attribute__((naked, section(".vectors"), used)) void smcu_reset(void)
{
    __asm__ volatile("la sp, smcu_stack_top\n j smcu_riscv_start");
}

/* 2 * turns instructions, plus the same few at every call: so it is never inlined. */
__attribute__((noinline)) static uint32_t timed_loop(uint32_t turns)
{
    const uint32_t start = ticks_now();

    __asm__ volatile("1: addi %0, %0, -1\n bnez %0, 1b" : "+r"(turns));
    return ticks_now() - start;
}

/* Ticks from pending a software interrupt to behind it; never inlined, as above. */
__attribute__((noinline)) static uint32_t pend_ticks(void)
{
    const uint32_t start = ticks_now();

    CLINT_MSIP = 1u;
    __asm__ volatile("fence\n nop\n nop" ::: "memory");
    return ticks_now() - start;
}

/* What an interrupt costs outside its body, which counts itself: once off, once on. */
static void measure_entry(void)
{
    const uint32_t enabled = MIE_SOFTWARE | MIE_TIMER | MIE_EXTERNAL;

    interrupts_off();
    __asm__ volatile("csrw mie, %0" : : "r"(enabled));
    const uint32_t pending = pend_ticks();
    CLINT_MSIP = 0;
    interrupts_on();
    const uint32_t before = interrupt_ticks;
    const uint32_t handled = pend_ticks();
    entry_ticks = handled - pending - (interrupt_ticks - before);
}

static void start_uart(void)
{
    UART_LCR = 3u; /* 8N1 */
    UART_FCR = 7u; /* FIFOs on, emptied; interrupt at one byte */
    UART_MCR = 8u; /* OUT2: the interrupt's gate */
    UART_IER = 1u;
    PLIC_PRIORITY = 1u;
    PLIC_THRESHOLD = 0;
    PLIC_ENABLE = 1u << SMCU_UART_IRQ;
}

void smcu_port_init(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    __asm__ volatile("csrw mtvec, %0" : : "r"((uintptr_t)trap));
    fault = smcu_bare_take_fault();
    const bool exact = timed_loop(3000) - timed_loop(1000) == 4000u;
    info.tick_unit = exact ? "instructions" : "ticks";
    CLINT_MTIMECMP_HIGH = 0xffffffffu;
    if (exact) {
        measure_entry();
    } else {
        __asm__ volatile("csrw mie, %0" : : "r"(MIE_TIMER | MIE_EXTERNAL));
        interrupts_on();
    }
    start_wake_timer();
    start_uart();
    info.boot_id = smcu_bare_boot_id();
    smcu_bare_greet();
}

const smcu_port_info_t *smcu_port_info(void)
{
    return &info;
}

const smcu_port_fault_t *smcu_port_fault(void)
{
    return fault;
}

uint32_t smcu_port_ticks(void)
{
    interrupts_off();
    const uint32_t ticks = ticks_now() - interrupt_ticks;
    interrupts_on();
    return ticks;
}

uint32_t smcu_port_micros(void)
{
    return smcu_bare_micros(CLINT_MTIME_LOW, TIMER_TICKS_PER_US);
}

void smcu_port_write(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        while ((UART_LSR & LSR_TX_READY) == 0u) {
        }
        UART_TX = bytes[i];
    }
}

void smcu_port_wait(void)
{
    interrupts_off();
    if (smcu_ring_used(&smcu_rx_ring) == 0u) {
        __asm__ volatile("wfi" ::: "memory"); /* a pending interrupt wakes it, masked or not */
    }
    interrupts_on();
}

void smcu_port_alive(void)
{
}

void smcu_port_gate(bool high)
{
    (void)high;
}

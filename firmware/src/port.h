/* What the firmware needs from a machine. One port_<family>.c implements it; nothing else sees a
 * register, a vendor header or the operating system. Received bytes go into smcu_rx_ring. */
#ifndef SMCU_PORT_H
#define SMCU_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mic.h"

typedef struct {
    const char *board;     /* name in the board registry */
    const char *mcu;       /* chip, for people */
    uint32_t clock_hz;     /* core clock; 0: not known */
    const char *tick_unit; /* what smcu_port_ticks counts: "cycles", "instructions", "ns", "ticks" */
    uint32_t tick_hz;      /* ticks per second */
    uint32_t boot_id;      /* differs from boot to boot as well as the machine can tell */
    uint32_t reset_reason; /* the machine's own reset flags; 0: none */
} smcu_port_info_t;

/* reason of a boot that the watchdog ended: nobody called smcu_port_alive for seconds. */
#define SMCU_FAULT_WATCHDOG 0x100u

/* How the boot before this one crashed. */
typedef struct {
    uint32_t reason; /* SMCU_FAULT_WATCHDOG, or the core's exception (ARM: IPSR, RISC-V: mcause) */
    uint32_t pc;     /* where; 0: not known */
    uint32_t lr;     /* return address; 0: not known */
    uint32_t status; /* ARM: CFSR, RISC-V: mtval; 0 where there is none */
} smcu_port_fault_t;

/* Clock, link and counters. On a PC it reads the command line; elsewhere argc is 0. */
void smcu_port_init(int argc, char **argv);

/* Facts of the machine; valid after smcu_port_init. */
const smcu_port_info_t *smcu_port_info(void);

/* Free-running counter in tick units, modulo 2^32. Time spent in interrupts is not in it. */
uint32_t smcu_port_ticks(void);

/* Microseconds since boot, modulo 2^32. To be called at least every 4 s. */
uint32_t smcu_port_micros(void);

/* Sends n bytes; returns when all are handed to the link (or dropped: nobody is connected). */
void smcu_port_write(const uint8_t *bytes, size_t n);

/* Sleeps until bytes wait in smcu_rx_ring, at most about 100 ms. */
void smcu_port_wait(void);

/* Microseconds that smcu_port_wait has slept, modulo 2^32; in ports built with SMCU_MIC only. */
uint32_t smcu_port_slept_us(void);

/* Keeps the watchdog quiet: called at least every 2 s, in long computations too. */
void smcu_port_alive(void);

/* The energy gate pin: high while audio is computed. Nothing where there is no such pin. */
void smcu_port_gate(bool high);

/* Two open-drain pins for I2C, in ports built with SMCU_I2C only; true: the line may go high. */
void smcu_port_i2c_start(void);
void smcu_port_i2c_drive(bool clock, bool data);
bool smcu_port_i2c_clock(void);
bool smcu_port_i2c_data(void);

/* The crash that ended the boot before this one, or NULL. */
const smcu_port_fault_t *smcu_port_fault(void);

/* The microphone, in ports built with SMCU_MIC only: how its DMA lays samples down (NULL: there is
 * none), and its clock. While it runs, smcu_microphone_half gets every half of the DMA buffer. */
const smcu_mic_config_t *smcu_port_mic_config(void);
bool smcu_port_mic_start(void);
void smcu_port_mic_stop(void);

/* Outputs that intents raise, in ports built with SMCU_STANDALONE only; `pin` is the number that
 * firmware/platform/defines.py gives its name. Start: an output, low. */
void smcu_port_pin_start(uint32_t pin);
void smcu_port_pin(uint32_t pin, bool high);

/* The flash of the model slots (slots.h), in ports built with SMCU_PUSH only: two pieces of the same
 * size, where the core reads them. Bytes of each; 0: this machine has none. */
uint32_t smcu_port_slot_bytes(void);
const uint8_t *smcu_port_slot(uint32_t slot);
/* False: the flash did not do it. Erased is 0xff; a write only clears bits; `at` and `n` are
 * multiples of 4. Nothing need be received meanwhile. */
bool smcu_port_slot_erase(uint32_t slot);
bool smcu_port_slot_write(uint32_t slot, uint32_t at, const uint8_t *bytes, uint32_t n);

/* Least number of stack bytes that were ever free; 0: not known. */
uint32_t smcu_port_stack_free(void);

#endif

/* The pins of the PC process: gate, I2C clock and data, wired to a program that listens on TCP. */
#ifndef SMCU_PORT_NATIVE_WIRES_H
#define SMCU_PORT_NATIVE_WIRES_H

#include <stdbool.h>
#include <stdint.h>

/* Connects the pins to 127.0.0.1:port; false when nobody is there. */
bool smcu_wires_open(const char *port);

/* A pin of ours changed; `t_ns` is the board's clock. */
void smcu_wires_gate(bool high, uint64_t t_ns);
void smcu_wires_i2c(bool clock, bool data, uint64_t t_ns);

/* What the data line holds. */
bool smcu_wires_data(uint64_t t_ns);

#endif

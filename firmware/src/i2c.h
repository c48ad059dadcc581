/* I2C master on two pins of the port, about 50 kHz; for the meters of energy builds. */
#ifndef SMCU_I2C_H
#define SMCU_I2C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes n bytes to the device with this 7-bit address. False when a byte was not acknowledged, or
 * the clock was held down for 10 ms. */
bool smcu_i2c_write(uint8_t address, const uint8_t *bytes, size_t n);

/* Writes the register's number, then reads n bytes behind a repeated start. False as above. */
bool smcu_i2c_read(uint8_t address, uint8_t reg, uint8_t *bytes, size_t n);

#endif

/* The model slots of a PC process: a file, or memory that is forgotten, that behaves like flash. */
#ifndef SMCU_PORT_NATIVE_FLASH_H
#define SMCU_PORT_NATIVE_FLASH_H

#include <stdbool.h>
#include <stdint.h>

/* Slots in the file `path`, made when it is not there; NULL: in memory. False: errno says why (EINVAL:
 * the file has another size than two slots). */
bool smcu_native_flash_open(const char *path);

/* The power fails when so many bytes have changed: the process ends with SMCU_NATIVE_POWER_CUT. */
void smcu_native_flash_cut(uint32_t bytes);

#define SMCU_NATIVE_POWER_CUT 86

#endif

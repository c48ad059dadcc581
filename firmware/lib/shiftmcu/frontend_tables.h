/* Written by `python -m shiftmcu.frontend --emit DIR`; the numbers are shiftmcu/frontend_tables.py's. */
#ifndef SMCU_FRONTEND_TABLES_H
#define SMCU_FRONTEND_TABLES_H

#include <stdint.h>

#define SMCU_FRONTEND_ID 0x44b069e6u
#define SMCU_FRONTEND_OFFSET 66
#define SMCU_FRONTEND_STEPS_PER_OCTAVE 6
#define SMCU_FRONTEND_TWIDDLES 379
#define SMCU_FRONTEND_MEL_FIRST_BIN 2
#define SMCU_FRONTEND_MEL_USED 242
#define SMCU_FRONTEND_SEGMENTS 41

extern const int16_t smcu_frontend_hann[257];
extern const uint32_t smcu_frontend_twiddle[SMCU_FRONTEND_TWIDDLES];
extern const uint8_t smcu_frontend_mel_rise[SMCU_FRONTEND_MEL_USED];
extern const uint8_t smcu_frontend_mel_count[SMCU_FRONTEND_SEGMENTS];
extern const uint8_t smcu_frontend_log[64];
extern const int16_t smcu_frontend_area[40];

#endif

/* How loud a second of audio was: peak, rms, clipped samples (docs/microphone.md).
 * Equal bit for bit to shiftmcu/microphone.py. */
#ifndef SMCU_LEVEL_H
#define SMCU_LEVEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SMCU_LEVEL_SAMPLES 16000u /* per report */

typedef struct {
    uint16_t peak;    /* greatest |sample|, 0..32768 */
    uint16_t rms;     /* floor of the root of the mean square, 0..32768 */
    uint16_t clipped; /* samples at -32768 or 32767 */
} smcu_level_report_t;

/* The second being measured; all zero at the start. */
typedef struct {
    uint64_t squares;
    uint32_t samples;
    uint16_t peak;
    uint16_t clipped;
} smcu_level_t;

/* Takes samples until the second is full, at most n. Returns how many it took. */
size_t smcu_level_take(smcu_level_t *level, const int16_t *pcm, size_t n);

/* When the second is full: fills the report, starts the next second and returns true. */
bool smcu_level_report(smcu_level_t *level, smcu_level_report_t *report);

#endif

/* Lines for a terminal on the link, outside its packets: each ends with the 0x00 that parts it from
 * them (docs/protocol.md). */
#ifndef SMCU_TEXT_H
#define SMCU_TEXT_H

#include <stdint.h>

/* The decimal digits of a number, written into `digits`. */
const char *smcu_text_digits(uint32_t value, char digits[11]);

void smcu_text(const char *text);
void smcu_text_number(uint32_t value);
/* 0..32768 as 0.00 to 1.00. */
void smcu_text_q15(uint32_t value);
void smcu_text_end(void);

#endif

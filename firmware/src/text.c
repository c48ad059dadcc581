#include "text.h"

#include <string.h>

#include "port.h"

const char *smcu_text_digits(uint32_t value, char digits[11])
{
    char *p = digits + 10;

    *p = '\0';
    do {
        *--p = (char)('0' + value % 10u);
        value /= 10u;
    } while (value != 0u);
    return p;
}

void smcu_text(const char *text)
{
    smcu_port_write((const uint8_t *)text, strlen(text));
}

void smcu_text_number(uint32_t value)
{
    char digits[11];

    smcu_text(smcu_text_digits(value, digits));
}

void smcu_text_q15(uint32_t value)
{
    const uint32_t hundredths = (value * 100u + 16384u) >> 15;
    const char digits[5] = {(char)('0' + hundredths / 100u), '.', (char)('0' + hundredths / 10u % 10u),
                            (char)('0' + hundredths % 10u), '\0'};

    smcu_text(digits);
}

void smcu_text_end(void)
{
    static const uint8_t end[] = {'\r', '\n', 0};

    smcu_port_write(end, sizeof(end));
}

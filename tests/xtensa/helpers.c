/* Functions that the compiler calls and that Debian's libgcc for the lx106 lacks. */
#include <stdint.h>

uint32_t __udivsi3(uint32_t n, uint32_t d);
uint32_t __umodsi3(uint32_t n, uint32_t d);
int32_t __divsi3(int32_t n, int32_t d);
int32_t __modsi3(int32_t n, int32_t d);
int64_t __muldi3(int64_t a, int64_t b);
uint64_t __udivdi3(uint64_t n, uint64_t d);

/* Bit by bit; the remainder goes to *rest. */
static uint32_t divide(uint32_t n, uint32_t d, uint32_t *rest)
{
    uint32_t quotient = 0, left = 0;

    for (int bit = 31; bit >= 0; bit--) {
        const uint32_t carry = left >> 31;

        left = (left << 1) | ((n >> bit) & 1u);
        quotient <<= 1;
        if (carry != 0u || left >= d) {
            left -= d;
            quotient |= 1u;
        }
    }
    *rest = left;
    return quotient;
}

uint32_t __udivsi3(uint32_t n, uint32_t d)
{
    uint32_t rest;

    return divide(n, d, &rest);
}

uint32_t __umodsi3(uint32_t n, uint32_t d)
{
    uint32_t rest;

    (void)divide(n, d, &rest);
    return rest;
}

static uint32_t magnitude(int32_t value)
{
    return (value < 0) ? 0u - (uint32_t)value : (uint32_t)value;
}

int32_t __divsi3(int32_t n, int32_t d)
{
    const uint32_t quotient = __udivsi3(magnitude(n), magnitude(d));

    return (int32_t)(((n < 0) != (d < 0)) ? 0u - quotient : quotient);
}

int32_t __modsi3(int32_t n, int32_t d)
{
    const uint32_t rest = __umodsi3(magnitude(n), magnitude(d));

    return (int32_t)((n < 0) ? 0u - rest : rest);
}

/* 64 bits from products of 16-bit halves: the core multiplies 32 bits to 32. */
int64_t __muldi3(int64_t a, int64_t b)
{
    const uint32_t a_low = (uint32_t)a, b_low = (uint32_t)b;
    const uint32_t a0 = a_low & 0xffffu, a1 = a_low >> 16, b0 = b_low & 0xffffu, b1 = b_low >> 16;
    const uint32_t low = a0 * b0, middle = a1 * b0 + (low >> 16);
    const uint32_t cross = a0 * b1 + (middle & 0xffffu);
    const uint32_t carry = a1 * b1 + (middle >> 16) + (cross >> 16);
    const uint32_t high = carry + a_low * (uint32_t)((uint64_t)b >> 32) +
                          (uint32_t)((uint64_t)a >> 32) * b_low;

    return (int64_t)(((uint64_t)high << 32) | (cross << 16) | (low & 0xffffu));
}

uint64_t __udivdi3(uint64_t n, uint64_t d)
{
    uint64_t quotient = 0, left = 0;

    for (int bit = 0; bit < 64; bit++) {
        const uint64_t carry = left >> 63;

        left = (left << 1) | (n >> 63);
        n <<= 1;
        quotient <<= 1;
        if (carry != 0u || left >= d) {
            left -= d;
            quotient |= 1u;
        }
    }
    return quotient;
}

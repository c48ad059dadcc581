/* STM32: two open-drain pins for i2c.c. GPIO as in port_stm32.h. */
#include "port_stm32.h"

#ifdef SMCU_I2C

#define GPIO_OTYPER(pin) GPIO(pin, 0x04u)
#define GPIO_IDR(pin) GPIO(pin, 0x10u)

static void open_drain(uint32_t pin)
{
    const uint32_t two = 2u * NUMBER_OF(pin);

    RCC_GPIO_ENR |= 1u << PORT_OF(pin);
    (void)RCC_GPIO_ENR;
    GPIO_BSRR(pin) = 1u << NUMBER_OF(pin);
    GPIO_OTYPER(pin) |= 1u << NUMBER_OF(pin);
    GPIO_PUPDR(pin) = (GPIO_PUPDR(pin) & ~(3u << two)) | (1u << two);
    GPIO_MODER(pin) = (GPIO_MODER(pin) & ~(3u << two)) | (1u << two);
}

static void set(uint32_t pin, bool high)
{
    GPIO_BSRR(pin) = 1u << (NUMBER_OF(pin) + (high ? 0u : 16u));
}

static bool level(uint32_t pin)
{
    return (GPIO_IDR(pin) >> NUMBER_OF(pin) & 1u) != 0u;
}

void smcu_port_i2c_start(void)
{
    open_drain(SMCU_I2C_SCL);
    open_drain(SMCU_I2C_SDA);
}

void smcu_port_i2c_drive(bool clock, bool data)
{
    set(SMCU_I2C_SCL, clock);
    set(SMCU_I2C_SDA, data);
}

bool smcu_port_i2c_clock(void)
{
    return level(SMCU_I2C_SCL);
}

bool smcu_port_i2c_data(void)
{
    return level(SMCU_I2C_SDA);
}

#endif

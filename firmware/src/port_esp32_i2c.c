/* ESP32 family: two open-drain pins for i2c.c. Compiled, never run. */
#include "port.h"

#ifdef SMCU_I2C

#include "driver/gpio.h"

static void open_drain(gpio_num_t pin)
{
    ESP_ERROR_CHECK(gpio_set_level(pin, 1));
    ESP_ERROR_CHECK(gpio_set_direction(pin, GPIO_MODE_INPUT_OUTPUT_OD));
    ESP_ERROR_CHECK(gpio_set_pull_mode(pin, GPIO_PULLUP_ONLY));
}

void smcu_port_i2c_start(void)
{
    open_drain((gpio_num_t)SMCU_I2C_SCL);
    open_drain((gpio_num_t)SMCU_I2C_SDA);
}

void smcu_port_i2c_drive(bool clock, bool data)
{
    (void)gpio_set_level((gpio_num_t)SMCU_I2C_SCL, clock ? 1u : 0u);
    (void)gpio_set_level((gpio_num_t)SMCU_I2C_SDA, data ? 1u : 0u);
}

bool smcu_port_i2c_clock(void)
{
    return gpio_get_level((gpio_num_t)SMCU_I2C_SCL) != 0;
}

bool smcu_port_i2c_data(void)
{
    return gpio_get_level((gpio_num_t)SMCU_I2C_SDA) != 0;
}

#endif

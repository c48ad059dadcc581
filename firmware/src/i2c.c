#include "i2c.h"

#ifdef SMCU_I2C

#include "port.h"

#define HALF_BIT_US 10u
#define STRETCH_US 10000u

static void wait_half(void)
{
    const uint32_t start = smcu_port_micros();

    while (smcu_port_micros() - start < HALF_BIT_US) {
    }
}

/* Both lines; true lets a line go high. Half a bit later the clock is up, or it never came. */
static bool drive(bool clock, bool data)
{
    const uint32_t start = smcu_port_micros();

    smcu_port_i2c_drive(clock, data);
    wait_half();
    while (clock && !smcu_port_i2c_clock()) { /* the device is not ready yet */
        if (smcu_port_micros() - start > STRETCH_US) {
            return false;
        }
    }
    return true;
}

/* One clock pulse; `level`, where it is not NULL, gets what the line holds while the clock is up. */
static bool bit(bool data, bool *level)
{
    const bool low = drive(false, data);
    const bool high = drive(true, data);

    if (level != NULL) {
        *level = smcu_port_i2c_data();
    }
    return low && high && drive(false, data);
}

static bool start_condition(void)
{
    return drive(false, true) && drive(true, true) && drive(true, false) && drive(false, false);
}

static void stop_condition(void)
{
    (void)drive(false, false);
    (void)drive(true, false);
    (void)drive(true, true);
}

static bool put(uint8_t byte)
{
    bool level = true;
    bool well = true;

    for (uint32_t i = 0; i < 8u; i++) {
        well = bit(((byte >> (7u - i)) & 1u) != 0u, NULL) && well;
    }
    return well && bit(true, &level) && !level; /* acknowledged: held down */
}

static bool get(uint8_t *byte, bool last)
{
    uint32_t value = 0;
    bool level = true;

    for (uint32_t i = 0; i < 8u; i++) {
        if (!bit(true, &level)) {
            return false;
        }
        value = 2u * value + (level ? 1u : 0u);
    }
    *byte = (uint8_t)value;
    return bit(last, NULL);
}

static bool put_all(uint8_t address, const uint8_t *bytes, size_t n)
{
    bool well = start_condition() && put((uint8_t)(address << 1));

    for (size_t i = 0; well && i < n; i++) {
        well = put(bytes[i]);
    }
    return well;
}

bool smcu_i2c_write(uint8_t address, const uint8_t *bytes, size_t n)
{
    const bool well = put_all(address, bytes, n);

    stop_condition();
    return well;
}

bool smcu_i2c_read(uint8_t address, uint8_t reg, uint8_t *bytes, size_t n)
{
    bool well = put_all(address, &reg, 1) && start_condition() && put((uint8_t)((address << 1) | 1u));

    for (size_t i = 0; well && i < n; i++) {
        well = get(bytes + i, i + 1u == n);
    }
    stop_condition();
    return well;
}

#endif

#include "ina.h"

#ifdef SMCU_ENERGY

#include <string.h>

#define CONFIG 0x00u /* of all three */
#define RESET 0x8000u

/* INA219: SBOS448, "Register details". */
#define INA219_SHUNT 0x01u /* 10 uV */
#define INA219_BUS 0x02u   /* 4 mV from bit 3 on; bit 1 CNVR, bit 0 OVF */
#define INA219_CONFIG_RESET 0x399fu
#define INA219_TRIGGER 3u       /* shunt and bus, once; 16 V, +-40 mV */
#define INA219_SHUNT_MAX 3999   /* 40 mV less a step */
#define INA219_BUS_MAX 4000u    /* 16 V */
#define INA219_SAMPLE_US 532u   /* 12 bits */

/* INA226: SBOS547, "Register maps". */
#define INA226_SHUNT 0x01u /* 2.5 uV */
#define INA226_BUS 0x02u   /* 1.25 mV */
#define INA226_ENABLE 0x06u /* bit 3 CVRF, bit 2 OVF */
#define INA226_MAKER 0xfeu
#define INA226_DIE 0xffu
#define INA226_TRIGGER 0x4003u /* shunt and bus, once */

/* INA228: SLYS021, "Register maps". */
#define INA228_ADC_CONFIG 0x01u
#define INA228_SHUNT_CAL 0x02u
#define INA228_VBUS 0x05u  /* 195.3125 uV from bit 4 on */
#define INA228_ENERGY 0x09u /* 16 * 3.2 * current LSB, in J */
#define INA228_CHARGE 0x0au /* current LSB, in C */
#define INA228_DIAG 0x0bu
#define INA228_SHUNT_OVER 0x0cu /* 5 uV */
#define INA228_MAKER 0x3eu
#define INA228_DEVICE 0x3fu
#define INA228_CLEAR_SUMS 0x4000u
/* Shunt 280 us, bus 50 us, for ever: what the load does in a bus conversion is not seen. */
#define INA228_CONTINUOUS 0xb0e8u
#define INA228_SHUTDOWN 0x00e8u /* the sums stay as they are */
#define INA228_PERIOD_US 330u
/* With 312.5 nV / R_shunt per current LSB, which is the ADC's own step, it is the same for every
 * shunt: 13107.2e6 * 312.5e-9. */
#define INA228_CAL 4096u
#define INA228_LATCH 0x8000u
#define INA228_OVERFLOWS 0x0e00u /* ENERGYOF, CHARGEOF, MATHOF */
#define INA228_SHUNT_LIMIT 0x7ff0u
#define INA228_SHUNT_OVER_FLAG 0x0040u
#define INA228_FINE 2048 /* ENERGY's steps from which on its rounding does not matter */

#define TI 0x5449u

static bool put(const smcu_ina_t *ina, uint8_t reg, uint32_t value)
{
    const uint8_t bytes[3] = {reg, (uint8_t)(value >> 8), (uint8_t)value};

    return ina->bus.write(ina->address, bytes, sizeof(bytes));
}

/* n bytes, the first one the highest. */
static bool get(const smcu_ina_t *ina, uint8_t reg, size_t n, uint64_t *value)
{
    uint8_t bytes[5] = {0};
    const bool well = ina->bus.read(ina->address, reg, bytes, n);

    *value = 0;
    for (size_t i = 0; i < n; i++) {
        *value = (*value << 8) | bytes[i];
    }
    return well;
}

static int64_t extended(uint64_t value, uint32_t bits)
{
    const uint64_t sign = (uint64_t)1 << (bits - 1u);

    return (int64_t)(value ^ sign) - (int64_t)sign;
}

/* nV over the shunt to nA. */
static int64_t current_of(const smcu_ina_t *ina, int64_t shunt_nv)
{
    return shunt_nv * 1000000 / (int64_t)ina->shunt_uohm;
}

static int64_t power_of(int64_t current_na, uint32_t bus_uv)
{
    return current_na * (int64_t)bus_uv / 1000000;
}

static uint32_t check(const smcu_ina_t *ina, uint8_t reg, uint64_t expected, uint32_t shift)
{
    uint64_t value = 0;

    if (!get(ina, reg, 2, &value)) {
        return SMCU_INA_NACK;
    }
    return (value >> shift) == expected ? 0u : SMCU_INA_WRONG_PART;
}

/* --- INA219 ---------------------------------------------------------------------------------- */

static uint32_t begin_219(smcu_ina_t *ina, uint32_t window_us)
{
    uint32_t samples_log2 = 0;
    uint32_t flags = put(ina, CONFIG, RESET) ? 0u : SMCU_INA_NACK;

    flags |= (flags != 0u) ? 0u : check(ina, CONFIG, INA219_CONFIG_RESET, 0);
    /* shunt and bus, and a tenth that the part may take longer */
    while (samples_log2 < 7u && (4u << samples_log2) * INA219_SAMPLE_US / 10u * 11u <= window_us) {
        samples_log2++;
    }
    const uint32_t adc = 8u | samples_log2; /* 1000: one sample, 1111: 128 */
    ina->covered_us = (2u << samples_log2) * INA219_SAMPLE_US;
    if (flags == 0u && !put(ina, CONFIG, (adc << 7) | (adc << 3) | INA219_TRIGGER)) {
        flags = SMCU_INA_NACK;
    }
    return flags;
}

static void end_219(const smcu_ina_t *ina, smcu_ina_reading_t *reading)
{
    uint64_t shunt = 0, bus = 0;

    if (!get(ina, INA219_BUS, 2, &bus) || !get(ina, INA219_SHUNT, 2, &shunt)) {
        reading->flags |= SMCU_INA_NACK;
        return;
    }
    const int64_t steps = extended(shunt, 16);
    reading->flags |= (bus & 2u) != 0u ? 0u : SMCU_INA_NOT_READY;
    reading->flags |= (bus & 1u) != 0u ? SMCU_INA_OVERFLOW : 0u;
    if (steps > INA219_SHUNT_MAX - 1 || steps < -INA219_SHUNT_MAX || (bus >> 3) >= INA219_BUS_MAX) {
        reading->flags |= SMCU_INA_SATURATED;
    }
    reading->bus_uv = (uint32_t)(bus >> 3) * 4000u;
    reading->current_na = current_of(ina, steps * 10000);
    reading->power_nw = power_of(reading->current_na, reading->bus_uv);
}

/* --- INA226 ---------------------------------------------------------------------------------- */

static uint32_t begin_226(smcu_ina_t *ina, uint32_t window_us)
{
    static const uint32_t time_us[8] = {140, 204, 332, 588, 1100, 2116, 4156, 8244};
    static const uint32_t averages[8] = {1, 4, 16, 64, 128, 256, 512, 1024};
    uint32_t best = 0;
    uint32_t flags = put(ina, CONFIG, RESET) ? 0u : SMCU_INA_NACK;

    flags |= (flags != 0u) ? 0u : check(ina, INA226_MAKER, TI, 0);
    flags |= (flags != 0u) ? 0u : check(ina, INA226_DIE, 0x226u, 4);
    ina->covered_us = 0;
    /* averages from the top: the most of them. The bus has the shortest time: what the load does in
     * a conversion of the bus is not seen. */
    for (uint32_t code = 0; code < 64u; code++) {
        const uint32_t us = (time_us[0] + time_us[code & 7u]) * averages[7u - (code >> 3)];

        if (us > ina->covered_us && us / 10u * 11u <= window_us) {
            ina->covered_us = us;
            best = ((7u - (code >> 3)) << 9) | ((code & 7u) << 3);
        }
    }
    if (flags == 0u && !put(ina, CONFIG, INA226_TRIGGER | best)) {
        flags = SMCU_INA_NACK;
    }
    return flags;
}

static void end_226(const smcu_ina_t *ina, smcu_ina_reading_t *reading)
{
    uint64_t enable = 0, shunt = 0, bus = 0;

    if (!get(ina, INA226_ENABLE, 2, &enable) || !get(ina, INA226_SHUNT, 2, &shunt) ||
        !get(ina, INA226_BUS, 2, &bus)) {
        reading->flags |= SMCU_INA_NACK;
        return;
    }
    const int64_t steps = extended(shunt, 16);
    reading->flags |= (enable & 8u) != 0u ? 0u : SMCU_INA_NOT_READY;
    reading->flags |= (enable & 4u) != 0u ? SMCU_INA_OVERFLOW : 0u;
    if (steps > 0x7ffe || steps < -0x7ffe || bus >= 0x7fffu) {
        reading->flags |= SMCU_INA_SATURATED;
    }
    reading->bus_uv = (uint32_t)bus * 1250u;
    reading->current_na = current_of(ina, steps * 2500);
    reading->power_nw = power_of(reading->current_na, reading->bus_uv);
}

/* --- INA228 ---------------------------------------------------------------------------------- */

static uint32_t begin_228(smcu_ina_t *ina)
{
    uint32_t flags = put(ina, CONFIG, RESET) ? 0u : SMCU_INA_NACK;

    flags |= (flags != 0u) ? 0u : check(ina, INA228_MAKER, TI, 0);
    flags |= (flags != 0u) ? 0u : check(ina, INA228_DEVICE, 0x228u, 4);
    ina->covered_us = 0;
    if (flags == 0u &&
        !(put(ina, INA228_SHUNT_CAL, INA228_CAL) && put(ina, INA228_SHUNT_OVER, INA228_SHUNT_LIMIT) &&
          put(ina, INA228_DIAG, INA228_LATCH) && put(ina, INA228_ADC_CONFIG, INA228_CONTINUOUS) &&
          put(ina, CONFIG, INA228_CLEAR_SUMS))) {
        flags = SMCU_INA_NACK;
    }
    ina->began_us = ina->bus.micros();
    return flags;
}

static void end_228(const smcu_ina_t *ina, smcu_ina_reading_t *reading)
{
    uint64_t diag = 0, energy = 0, charge = 0, bus = 0;
    const bool stopped = put(ina, INA228_ADC_CONFIG, INA228_SHUTDOWN);
    const uint32_t elapsed_us = ina->bus.micros() - ina->began_us;

    if (!stopped || !get(ina, INA228_ENERGY, 5, &energy) || !get(ina, INA228_CHARGE, 5, &charge) ||
        !get(ina, INA228_VBUS, 3, &bus) || !get(ina, INA228_DIAG, 2, &diag)) {
        reading->flags |= SMCU_INA_NACK;
        return;
    }
    const int64_t steps = extended(charge, 40);
    /* Within these the numbers below stay within 63 bits: 17 MJ ohm, 5.4 MC ohm. */
    const bool fits = (energy >> 29) == 0u && steps < ((int64_t)1 << 34) && -steps < ((int64_t)1 << 34);
    reading->covered_us = elapsed_us;
    reading->flags |= (diag & INA228_OVERFLOWS) != 0u || !fits ? SMCU_INA_OVERFLOW : 0u;
    reading->flags |= (diag & INA228_SHUNT_OVER_FLAG) != 0u ? SMCU_INA_SATURATED : 0u;
    reading->flags |= elapsed_us < INA228_PERIOD_US ? SMCU_INA_NOT_READY : 0u;
    if (reading->flags != 0u) {
        return;
    }
    reading->bus_uv = (uint32_t)((bus >> 4) * 3125u / 16u);
    const int64_t charge_nc = steps * 312500000 / (int64_t)ina->shunt_uohm;
    reading->current_na = charge_nc * 1000000 / (int64_t)elapsed_us;
    if (energy >= INA228_FINE) {
        const int64_t energy_nj = (int64_t)energy * 16000000000 / (int64_t)ina->shunt_uohm;
        reading->power_nw = energy_nj / (int64_t)elapsed_us * 1000000 +
                            energy_nj % (int64_t)elapsed_us * 1000000 / (int64_t)elapsed_us;
        reading->power_nw = steps < 0 ? -reading->power_nw : reading->power_nw;
    } else {
        reading->power_nw = power_of(reading->current_na, reading->bus_uv);
    }
}

uint32_t smcu_ina_begin(smcu_ina_t *ina, uint32_t window_us)
{
    switch (ina->part) {
    case SMCU_INA219:
        return begin_219(ina, window_us);
    case SMCU_INA226:
        return begin_226(ina, window_us);
    default:
        return begin_228(ina);
    }
}

void smcu_ina_end(const smcu_ina_t *ina, smcu_ina_reading_t *reading)
{
    memset(reading, 0, sizeof(*reading));
    reading->covered_us = ina->covered_us;
    switch (ina->part) {
    case SMCU_INA219:
        end_219(ina, reading);
        break;
    case SMCU_INA226:
        end_226(ina, reading);
        break;
    default:
        end_228(ina, reading);
        break;
    }
}

#endif

/* Current monitors of Texas Instruments as energy meters: register contents to nA, uV and nW.
 *
 *   INA219 (SBOS448), INA226 (SBOS547)   one triggered conversion, averaged as long as the window
 *                                        allows: mean current and voltage over `covered_us`
 *   INA228 (SLYS021)                     CHARGE and ENERGY, accumulated from begin to end
 *
 *     current = V_shunt / R_shunt,  power = current * V_bus
 *
 * Nothing is on the bus between begin and end, so the window between them is not disturbed. */
#ifndef SMCU_INA_H
#define SMCU_INA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { SMCU_INA219 = 1, SMCU_INA226 = 2, SMCU_INA228 = 3 } smcu_ina_part_t;

/* What is wrong with a reading; 0: nothing. */
#define SMCU_INA_NACK 1u       /* the part did not acknowledge */
#define SMCU_INA_WRONG_PART 2u /* its identification is another part's */
#define SMCU_INA_NOT_READY 4u  /* the conversion had not ended when it was read */
#define SMCU_INA_OVERFLOW 8u   /* the part says that it calculated out of its range */
#define SMCU_INA_SATURATED 16u /* the shunt's or the bus's voltage reached the end of the range */

/* The part's registers: over I2C on a board. False: not acknowledged. And the board's clock. */
typedef struct {
    bool (*write)(uint8_t address, const uint8_t *bytes, size_t n);
    bool (*read)(uint8_t address, uint8_t reg, uint8_t *bytes, size_t n);
    uint32_t (*micros)(void);
} smcu_ina_bus_t;

typedef struct {
    smcu_ina_bus_t bus;
    smcu_ina_part_t part;
    uint8_t address;     /* 7 bits: 0x40 to 0x4f */
    uint32_t shunt_uohm; /* above 0 */
    uint32_t covered_us; /* nominal time of the conversion that smcu_ina_begin started */
    uint32_t began_us;   /* INA228: when its sums were cleared */
} smcu_ina_t;

/* Means over covered_us. */
typedef struct {
    int64_t current_na; /* below 0: the current is reversed */
    int64_t power_nw;
    uint32_t bus_uv;
    uint32_t covered_us;
    uint32_t flags;
} smcu_ina_reading_t;

/* Checks the part, sets it up and lets it measure from now on, for at most window_us where it
 * averages. Returns flags. INA219: window_us from 1300 on; INA226: from 400 on. */
uint32_t smcu_ina_begin(smcu_ina_t *ina, uint32_t window_us);

/* Reads what was measured. */
void smcu_ina_end(const smcu_ina_t *ina, smcu_ina_reading_t *reading);

#endif

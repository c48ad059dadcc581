/* The model slots of the STM32F4: whole sectors of 128 KiB behind the firmware, where the board's
 * file says. RM0090, RM0383, RM0390: "Embedded flash memory interface", sections "Erase and program
 * operations", "Adaptive real-time memory accelerator" and the register descriptions.
 *
 * Words of 32 bits, which needs 2.7 V or more. While the flash works, the core stalls at the next
 * instruction that it has to fetch from there, interrupts too. */
#include "port_stm32.h"
#include "slots.h"

#ifdef SMCU_PUSH

#include "bytes.h"

#define FLASH_ORIGIN 0x08000000u
#define SECTOR_BYTES 131072u
#define FIRST_SECTOR (SMCU_PUSH_AT / SECTOR_BYTES + 4u) /* 0 to 4 share the first 128 KiB */
#define SECTORS (SMCU_PUSH_SLOT_BYTES / SECTOR_BYTES)   /* of a slot */

#if SMCU_PUSH_AT < SECTOR_BYTES || SMCU_PUSH_AT % SECTOR_BYTES != 0u || \
    SMCU_PUSH_SLOT_BYTES == 0u || SMCU_PUSH_SLOT_BYTES % SECTOR_BYTES != 0u
#error "the board's file: push.at and push.slot_bytes are multiples of 131072, from the second on"
#endif

#define FLASH_KEYR REG(0x40023c04u)
#define FLASH_SR REG(0x40023c0cu)
#define FLASH_CR REG(0x40023c10u)
#define KEY_1 0x45670123u
#define KEY_2 0xcdef89abu
#define ACR_DCEN (1u << 10)
#define ACR_DCRST (1u << 12)
#define SR_ERRORS 0xf2u /* OPERR, WRPERR, PGAERR, PGPERR, PGSERR; cleared by writing 1 */
#define SR_BSY (1u << 16)
#define CR_PG 1u
#define CR_SER 2u
#define CR_SNB(sector) ((sector) << 3)
#define CR_PSIZE_32 (2u << 8)
#define CR_STRT (1u << 16)
#define CR_LOCK (1u << 31)
#define LONGEST_US 4000000u /* data sheets: a sector of 128 KiB is erased within 2 s */

static bool finish(void)
{
    const uint32_t start_us = smcu_port_micros();

    while ((FLASH_SR & SR_BSY) != 0u) {
        smcu_port_alive();
        if (smcu_port_micros() - start_us > LONGEST_US) {
            return false;
        }
    }
    return (FLASH_SR & SR_ERRORS) == 0u;
}

static bool unlock(void)
{
    if (!finish()) {
        FLASH_SR = SR_ERRORS;
    }
    if ((FLASH_CR & CR_LOCK) != 0u) {
        FLASH_KEYR = KEY_1;
        FLASH_KEYR = KEY_2;
    }
    return (FLASH_CR & (CR_LOCK | CR_STRT)) == 0u;
}

/* What was read before the flash changed may still lie in the data cache, which is reset while off. */
static void lock(void)
{
    const uint32_t acr = FLASH_ACR & ~ACR_DCEN;
    const uint32_t was_on = FLASH_ACR & ACR_DCEN;

    FLASH_CR = CR_LOCK;
    FLASH_ACR = acr;
    FLASH_ACR = acr | ACR_DCRST;
    FLASH_ACR = acr;
    FLASH_ACR = acr | was_on;
    (void)FLASH_ACR;
}

uint32_t smcu_port_slot_bytes(void)
{
    return smcu_cortex_is_hardware() ? SMCU_PUSH_SLOT_BYTES : 0u; /* QEMU's flash cannot be written */
}

const uint8_t *smcu_port_slot(uint32_t slot)
{
    return (const uint8_t *)(uintptr_t)(FLASH_ORIGIN + SMCU_PUSH_AT + slot * SMCU_PUSH_SLOT_BYTES);
}

static bool is_erased(uint32_t slot)
{
    const volatile uint32_t *word = (const volatile uint32_t *)(const void *)smcu_port_slot(slot);

    for (uint32_t i = 0; i < SMCU_PUSH_SLOT_BYTES / 4u; i++) {
        if (word[i] != 0xffffffffu) {
            return false;
        }
    }
    return true;
}

bool smcu_port_slot_erase(uint32_t slot)
{
    bool done = unlock();

    for (uint32_t i = 0; done && i < SECTORS; i++) {
        const uint32_t what = CR_SER | CR_PSIZE_32 | CR_SNB(FIRST_SECTOR + slot * SECTORS + i);

        FLASH_CR = what;
        FLASH_CR = what | CR_STRT;
        done = finish();
    }
    lock();
    return done && is_erased(slot);
}

bool smcu_port_slot_write(uint32_t slot, uint32_t at, const uint8_t *bytes, uint32_t n)
{
    volatile uint32_t *word = &REG((uintptr_t)smcu_port_slot(slot) + at);
    bool done = unlock();

    FLASH_CR = CR_PG | CR_PSIZE_32;
    for (uint32_t i = 0; done && i < n / 4u; i++) {
        const uint32_t value = smcu_bytes_u32(bytes + 4u * i);

        if (value != 0xffffffffu) { /* which would change nothing */
            word[i] = value;
            __asm__ volatile("dsb" ::: "memory");
            done = finish();
        }
    }
    lock();
    return done;
}

#endif

/* Two places for a pushed model in flash, and what is written there about it (docs/push.md).
 *
 * A slot is erased as a whole; after that bits only go from 1 to 0, a word at a time, and the power
 * may fail in the middle of any of it. So what is written last counts: a model is bootable only when
 * its `ready` mark is whole, and every other mark is a word of its own. Nothing is remembered here:
 * each function reads the flash. Only in boards whose file says `push` (SMCU_PUSH).
 */
#ifndef SMCU_SLOTS_H
#define SMCU_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#define SMCU_SLOTS 2u
#define SMCU_SLOT_NONE 0xffu
#define SMCU_SLOT_MODEL_AT 192u /* the model's first byte; before it the header and the marks */
#define SMCU_SLOT_TRIES 3u      /* boots of a model on trial */
#define SMCU_SLOT_SIGNATURE_BYTES 64u

/* What a slot holds. */
typedef enum {
    SMCU_SLOT_EMPTY,     /* erased */
    SMCU_SLOT_WRITING,   /* unfinished: never booted */
    SMCU_SLOT_PENDING,   /* whole, on trial: a few boots */
    SMCU_SLOT_CONFIRMED, /* for good */
    SMCU_SLOT_RETIRED,   /* rolled back */
    SMCU_SLOT_BAD        /* failed its trial, or spent it */
} smcu_slot_state_t;

/* What UP_BEGIN told about a model, and where it belongs. */
typedef struct {
    uint32_t generation; /* the newest wins; from 1 */
    uint32_t bytes;      /* of the model, a multiple of 4 */
    uint32_t crc;        /* CRC-32 of all of them */
    uint32_t built_in;   /* first bytes of the SHA-256 of the firmware's own model */
    uint8_t sha256[32];  /* the model's identity, as its own header has it */
} smcu_slot_header_t;

/* Whether there are slots, and how many bytes of model one takes. */
uint32_t smcu_slots_room(void);

/* Preconditions of all that follow: smcu_slots_room() > 0, slot < SMCU_SLOTS. */
smcu_slot_state_t smcu_slots_state(uint32_t slot);

/* "empty", "writing", ... */
const char *smcu_slots_state_name(smcu_slot_state_t state);

/* Reads the header; false: there is none, or it is torn. */
bool smcu_slots_header(uint32_t slot, smcu_slot_header_t *header);

/* Boots that a model on trial has left. */
uint32_t smcu_slots_tries_left(uint32_t slot);

/* The model's bytes in place. Valid where there is a header. */
const uint8_t *smcu_slots_model(uint32_t slot);

/* The model's CRC is that of the header. Precondition: there is a header. */
bool smcu_slots_intact(uint32_t slot);

/* The bootable slot with the highest generation among those whose bit is set in `among`, or
 * SMCU_SLOT_NONE. */
uint32_t smcu_slots_newest(uint32_t among);

/* The slot that the next model is written to while `running` (a slot, or SMCU_SLOT_NONE) runs. */
uint32_t smcu_slots_spare(uint32_t running);

/* The generation of the next model. */
uint32_t smcu_slots_next_generation(void);

/* Each false when the flash did not take it. `signature`: SMCU_SLOT_SIGNATURE_BYTES or NULL. */
bool smcu_slots_begin(uint32_t slot, const smcu_slot_header_t *header, const uint8_t *signature);
bool smcu_slots_write(uint32_t slot, uint32_t at, const uint8_t *bytes, uint32_t n);
bool smcu_slots_mark_ready(uint32_t slot);
bool smcu_slots_spend_try(uint32_t slot);
bool smcu_slots_confirm(uint32_t slot);
bool smcu_slots_retire(uint32_t slot);
bool smcu_slots_condemn(uint32_t slot);

#endif

#include "slots.h"

#ifdef SMCU_PUSH

#include <string.h>

#include "bytes.h"
#include "frame.h"
#include "port.h"

#define LAYOUT 1u
#define ERASED 0xffffffffu
#define SET 0u /* the last state of a word: nothing can unset it but an erase */

/* Byte offsets in a slot. The header's CRC is written behind what it covers. */
enum {
    AT_MAGIC = 0,
    AT_LAYOUT = 4,
    AT_GENERATION = 8,
    AT_BYTES = 12,
    AT_CRC = 16,
    AT_BUILT_IN = 20,
    AT_SHA256 = 24,
    AT_SIGNATURE = 56,
    AT_HEADER_CRC = 120,
    HEADER_BYTES = 124,
    AT_READY = 128,
    AT_TRIES = 132, /* SMCU_SLOT_TRIES words */
    AT_CONFIRMED = 144,
    AT_RETIRED = 148,
    AT_BAD = 152
};

static const uint8_t magic[4] = {'S', 'M', 'S', 'L'};

static uint32_t word_at(uint32_t slot, uint32_t at)
{
    return smcu_bytes_u32(smcu_port_slot(slot) + at);
}

static bool set(uint32_t slot, uint32_t at)
{
    static const uint8_t zeros[4];

    return smcu_port_slot_write(slot, at, zeros, sizeof(zeros)) && word_at(slot, at) == SET;
}

uint32_t smcu_slots_room(void)
{
    const uint32_t bytes = smcu_port_slot_bytes();

    return bytes == 0u ? 0u : bytes - SMCU_SLOT_MODEL_AT;
}

bool smcu_slots_header(uint32_t slot, smcu_slot_header_t *header)
{
    const uint8_t *p = smcu_port_slot(slot);

    if (memcmp(p, magic, sizeof(magic)) != 0 || smcu_bytes_u32(p + AT_LAYOUT) != LAYOUT ||
        smcu_bytes_u32(p + AT_HEADER_CRC) != smcu_frame_crc32(0, p, AT_HEADER_CRC)) {
        return false;
    }
    header->generation = smcu_bytes_u32(p + AT_GENERATION);
    header->bytes = smcu_bytes_u32(p + AT_BYTES);
    header->crc = smcu_bytes_u32(p + AT_CRC);
    header->built_in = smcu_bytes_u32(p + AT_BUILT_IN);
    memcpy(header->sha256, p + AT_SHA256, sizeof(header->sha256));
    return header->bytes <= smcu_slots_room();
}

static bool is_erased(uint32_t slot)
{
    for (uint32_t at = 0; at < SMCU_SLOT_MODEL_AT; at += 4u) {
        if (word_at(slot, at) != ERASED) {
            return false;
        }
    }
    return true;
}

/* A torn mark (neither erased nor set) is none where it would allow something, and one where it
 * forbids something. */
smcu_slot_state_t smcu_slots_state(uint32_t slot)
{
    smcu_slot_header_t header;

    if (!smcu_slots_header(slot, &header)) {
        return is_erased(slot) ? SMCU_SLOT_EMPTY : SMCU_SLOT_WRITING;
    }
    if (word_at(slot, AT_RETIRED) != ERASED) {
        return SMCU_SLOT_RETIRED;
    }
    if (word_at(slot, AT_BAD) != ERASED) {
        return SMCU_SLOT_BAD;
    }
    if (word_at(slot, AT_READY) != SET) {
        return SMCU_SLOT_WRITING;
    }
    if (word_at(slot, AT_CONFIRMED) == SET) {
        return SMCU_SLOT_CONFIRMED;
    }
    return smcu_slots_tries_left(slot) > 0u ? SMCU_SLOT_PENDING : SMCU_SLOT_BAD;
}

const char *smcu_slots_state_name(smcu_slot_state_t state)
{
    static const char *const names[] = {
        [SMCU_SLOT_EMPTY] = "empty",         [SMCU_SLOT_WRITING] = "writing",
        [SMCU_SLOT_PENDING] = "pending",     [SMCU_SLOT_CONFIRMED] = "confirmed",
        [SMCU_SLOT_RETIRED] = "retired",     [SMCU_SLOT_BAD] = "bad",
    };

    return names[state];
}

uint32_t smcu_slots_tries_left(uint32_t slot)
{
    uint32_t left = 0;

    for (uint32_t i = 0; i < SMCU_SLOT_TRIES; i++) {
        left += word_at(slot, AT_TRIES + 4u * i) == ERASED ? 1u : 0u;
    }
    return left;
}

const uint8_t *smcu_slots_model(uint32_t slot)
{
    return smcu_port_slot(slot) + SMCU_SLOT_MODEL_AT;
}

bool smcu_slots_intact(uint32_t slot)
{
    smcu_slot_header_t header;

    return smcu_slots_header(slot, &header) &&
           smcu_frame_crc32(0, smcu_slots_model(slot), header.bytes) == header.crc;
}

static bool is_bootable(uint32_t slot)
{
    const smcu_slot_state_t state = smcu_slots_state(slot);

    return state == SMCU_SLOT_PENDING || state == SMCU_SLOT_CONFIRMED;
}

/* 0 where there is no whole header. */
static uint32_t generation_of(uint32_t slot)
{
    smcu_slot_header_t header;

    return smcu_slots_header(slot, &header) ? header.generation : 0u;
}

uint32_t smcu_slots_newest(uint32_t among)
{
    uint32_t found = SMCU_SLOT_NONE;

    for (uint32_t slot = 0; slot < SMCU_SLOTS; slot++) {
        if ((among >> slot & 1u) != 0u && is_bootable(slot) &&
            (found == SMCU_SLOT_NONE || generation_of(slot) > generation_of(found))) {
            found = slot;
        }
    }
    return found;
}

uint32_t smcu_slots_spare(uint32_t running)
{
    if (running != SMCU_SLOT_NONE) {
        return 1u - running;
    }
    const uint32_t newest = smcu_slots_newest((1u << SMCU_SLOTS) - 1u);
    return newest == SMCU_SLOT_NONE ? 0u : 1u - newest;
}

uint32_t smcu_slots_next_generation(void)
{
    uint32_t highest = 0;

    for (uint32_t slot = 0; slot < SMCU_SLOTS; slot++) {
        const uint32_t generation = generation_of(slot);

        highest = generation > highest ? generation : highest;
    }
    return highest + 1u;
}

static void put_u32(uint8_t *p, uint32_t value)
{
    for (uint32_t i = 0; i < 4u; i++) {
        p[i] = (uint8_t)(value >> (8u * i));
    }
}

bool smcu_slots_begin(uint32_t slot, const smcu_slot_header_t *header, const uint8_t *signature)
{
    uint8_t bytes[HEADER_BYTES];

    /* An erase that is cut in the middle may leave anything: what was there ends first. */
    if (is_bootable(slot) && !smcu_slots_retire(slot)) {
        return false;
    }
    if (!smcu_port_slot_erase(slot)) {
        return false;
    }
    memset(bytes, 0xff, sizeof(bytes));
    memcpy(bytes, magic, sizeof(magic));
    put_u32(bytes + AT_LAYOUT, LAYOUT);
    put_u32(bytes + AT_GENERATION, header->generation);
    put_u32(bytes + AT_BYTES, header->bytes);
    put_u32(bytes + AT_CRC, header->crc);
    put_u32(bytes + AT_BUILT_IN, header->built_in);
    memcpy(bytes + AT_SHA256, header->sha256, sizeof(header->sha256));
    if (signature != NULL) {
        memcpy(bytes + AT_SIGNATURE, signature, SMCU_SLOT_SIGNATURE_BYTES);
    }
    put_u32(bytes + AT_HEADER_CRC, smcu_frame_crc32(0, bytes, AT_HEADER_CRC));
    return smcu_port_slot_write(slot, 0, bytes, sizeof(bytes)) &&
           memcmp(smcu_port_slot(slot), bytes, sizeof(bytes)) == 0;
}

bool smcu_slots_write(uint32_t slot, uint32_t at, const uint8_t *bytes, uint32_t n)
{
    return smcu_port_slot_write(slot, SMCU_SLOT_MODEL_AT + at, bytes, n) &&
           memcmp(smcu_slots_model(slot) + at, bytes, n) == 0;
}

bool smcu_slots_mark_ready(uint32_t slot)
{
    return set(slot, AT_READY);
}

bool smcu_slots_spend_try(uint32_t slot)
{
    for (uint32_t i = 0; i < SMCU_SLOT_TRIES; i++) {
        if (word_at(slot, AT_TRIES + 4u * i) == ERASED) {
            return set(slot, AT_TRIES + 4u * i);
        }
    }
    return false;
}

bool smcu_slots_confirm(uint32_t slot)
{
    return set(slot, AT_CONFIRMED);
}

bool smcu_slots_retire(uint32_t slot)
{
    return set(slot, AT_RETIRED);
}

bool smcu_slots_condemn(uint32_t slot)
{
    return set(slot, AT_BAD);
}

#endif

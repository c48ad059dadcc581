#include "push.h"

#ifdef SMCU_PUSH

#include <string.h>

#include "bytes.h"
#include "frontend_tables.h"
#include "model/model.h"
#include "port.h"
#include "results.h"
#include "selftest.h"
#include "slots.h"
#include "wire.h"

#define BEGIN_BYTES 52u /* of UP_BEGIN without a signature */
#define FLAG_SIGNED 1u  /* bit of UP_BEGIN's flags: a signature follows */
#define ALL_SLOTS ((1u << SMCU_SLOTS) - 1u)
#define BLOB_SHA256 16u /* in a model's header (docs/model-format.md) */

static const char ok[] = "ok";

static struct {
    uint32_t running;            /* a slot, or SMCU_SLOT_NONE: the built-in model */
    const char *why[SMCU_SLOTS]; /* a slot that could be booted was not: the reason; else "ok" */
    smcu_slot_header_t coming;   /* the upload under way */
    uint32_t slot;               /* where it goes */
    uint32_t next;               /* byte that comes next */
    bool uploading;
    bool tested; /* the running model passed its self-test since it was opened */
} push;

static const uint8_t *built_in_sha256(void)
{
    return (const uint8_t *)smcu_model_blob + BLOB_SHA256;
}

/* Opens the slot's model and lets it prove itself, in place. "ok", or the name of what is wrong. */
static const char *prove(uint32_t slot, smcu_selftest_result_t *result)
{
    smcu_slot_header_t header;

    memset(result, 0, sizeof(*result));
    push.tested = false;
    if (!smcu_slots_header(slot, &header) || !smcu_slots_intact(slot)) {
        return smcu_status_name(SMCU_ERR_CRC);
    }
    const smcu_status_t status = smcu_session_open(smcu_slots_model(slot), header.bytes);
    if (status != SMCU_OK) {
        return smcu_status_name(status);
    }
    smcu_results_start(0, 0);
    *result = smcu_selftest_run(&smcu_stream);
    push.tested = result->vectors > 0u && result->passed == result->vectors;
    return push.tested ? ok : "push.selftest";
}

/* As prove, for a model on trial at the price of one boot. */
static const char *boot_slot(uint32_t slot)
{
    const bool on_trial = smcu_slots_state(slot) == SMCU_SLOT_PENDING;
    smcu_selftest_result_t result;
    smcu_slot_header_t header;

    if (!smcu_slots_header(slot, &header) ||
        header.built_in != smcu_bytes_u32(built_in_sha256())) {
        return "push.firmware"; /* what was flashed last wins */
    }
    if (on_trial && !smcu_slots_spend_try(slot)) {
        return "push.flash";
    }
    const char *why = prove(slot, &result);
    if (on_trial && why != ok) {
        (void)smcu_slots_condemn(slot);
    }
    return why;
}

smcu_status_t smcu_push_boot(void)
{
    uint32_t left = smcu_slots_room() > 0u ? ALL_SLOTS : 0u;

    push.uploading = false;
    for (uint32_t slot = 0; slot < SMCU_SLOTS; slot++) {
        push.why[slot] = ok;
    }
    while (left != 0u) {
        push.running = smcu_slots_newest(left);
        if (push.running == SMCU_SLOT_NONE) {
            break;
        }
        push.why[push.running] = boot_slot(push.running);
        if (push.why[push.running] == ok) {
            return SMCU_OK;
        }
        left &= ~(1u << push.running);
    }
    push.running = SMCU_SLOT_NONE;
    return smcu_session_built_in();
}

/* --- the packets: each function returns "ok" or the name of the refusal ------------------------ */

/* Room, abi, features and memory: what can be refused before anything is erased. */
static const char *refusal(const uint8_t *p, bool is_signed)
{
    if (smcu_session_running()) {
        return "push.busy";
    }
    if (push.running != SMCU_SLOT_NONE && smcu_slots_state(push.running) != SMCU_SLOT_CONFIRMED) {
        return "push.trial"; /* the other slot is what it would fall back to */
    }
    if (smcu_bytes_u16(p + 8) != SMCU_MODEL_ABI) {
        return smcu_status_name(SMCU_ERR_ABI);
    }
    if (smcu_bytes_u32(p + 12) != SMCU_FRONTEND_ID) {
        return smcu_status_name(SMCU_ERR_FRONTEND);
    }
    if (smcu_bytes_u32(p + 16) > SMCU_ARENA_BYTES) {
        return smcu_status_name(SMCU_ERR_ARENA);
    }
    if (smcu_bytes_u32(p) > smcu_slots_room() || smcu_bytes_u32(p) % 4u != 0u) {
        return "push.full";
    }
    return is_signed ? "push.signature" : ok;
}

static bool is_same(const smcu_slot_header_t *a, const smcu_slot_header_t *b)
{
    return a->bytes == b->bytes && a->crc == b->crc &&
           memcmp(a->sha256, b->sha256, sizeof(a->sha256)) == 0;
}

static const char *begin(const uint8_t *p, bool is_signed)
{
    smcu_slot_header_t header = {.generation = smcu_slots_next_generation(),
                                 .bytes = smcu_bytes_u32(p),
                                 .crc = smcu_bytes_u32(p + 4),
                                 .built_in = smcu_bytes_u32(built_in_sha256())};
    const char *why = refusal(p, is_signed);

    memcpy(header.sha256, p + 20, sizeof(header.sha256));
    if (why != ok) {
        return why;
    }
    if (push.uploading && is_same(&header, &push.coming)) {
        return ok; /* it goes on where it stopped */
    }
    push.uploading = false;
    push.slot = smcu_slots_spare(push.running);
    push.why[push.slot] = ok;
    if (!smcu_slots_begin(push.slot, &header, NULL)) {
        return "push.flash";
    }
    push.coming = header;
    push.next = 0;
    push.uploading = true;
    return ok;
}

static const char *chunk(uint32_t generation, const uint8_t *bytes, size_t n)
{
    if (!push.uploading || generation != push.coming.generation) {
        return "push.state";
    }
    const uint32_t at = smcu_bytes_u32(bytes);
    const uint32_t size = (uint32_t)n - 4u;
    if (at != push.next) {
        return ok; /* a doubled one, or one was lost: the answer says what comes next */
    }
    if (size % 4u != 0u || size > push.coming.bytes - push.next) {
        return "push.state";
    }
    if (!smcu_slots_write(push.slot, push.next, bytes + 4, size)) {
        return "push.flash";
    }
    push.next += size;
    return ok;
}

static const char *end(uint32_t generation)
{
    if (!push.uploading || generation != push.coming.generation) {
        return "push.state";
    }
    if (smcu_slots_state(push.slot) == SMCU_SLOT_PENDING) {
        return ok; /* the answer was lost */
    }
    if (push.next != push.coming.bytes || !smcu_slots_intact(push.slot)) {
        return smcu_status_name(SMCU_ERR_CRC);
    }
    return smcu_slots_mark_ready(push.slot) ? ok : "push.flash";
}

/* The slot with a model of this generation, or none. */
static uint32_t slot_of(uint32_t generation)
{
    for (uint32_t slot = 0; slot < SMCU_SLOTS; slot++) {
        smcu_slot_header_t header;

        if (smcu_slots_header(slot, &header) && header.generation == generation) {
            return slot;
        }
    }
    return SMCU_SLOT_NONE;
}

static bool is_whole(uint32_t slot)
{
    return slot != SMCU_SLOT_NONE && (smcu_slots_state(slot) == SMCU_SLOT_PENDING ||
                                      smcu_slots_state(slot) == SMCU_SLOT_CONFIRMED);
}

/* The new model takes over; when it fails, the best one that is left comes back. */
static const char *test(uint32_t generation, smcu_selftest_result_t *result,
                        smcu_status_t *model_status)
{
    const uint32_t slot = slot_of(generation);

    if (!is_whole(slot)) {
        return "push.state";
    }
    if (smcu_session_running()) {
        return "push.busy";
    }
    smcu_session_abandon();
    if (slot != push.running && !smcu_slots_spend_try(slot)) {
        return "push.flash";
    }
    const char *why = prove(slot, result);
    if (why == ok) {
        push.running = slot;
        *model_status = SMCU_OK;
    } else {
        (void)smcu_slots_condemn(slot);
        *model_status = smcu_push_boot();
        push.why[slot] = why;
    }
    return why;
}

static const char *commit(uint32_t generation)
{
    const uint32_t slot = slot_of(generation);

    if (!is_whole(slot) || slot != push.running || !push.tested) {
        return "push.state";
    }
    push.uploading = false;
    if (smcu_slots_state(slot) == SMCU_SLOT_CONFIRMED) {
        return ok;
    }
    return smcu_slots_confirm(slot) ? ok : "push.flash";
}

/* Takes a model out of service: an upload that is given up, or the one that runs. */
static const char *retire(uint32_t generation, smcu_status_t *model_status)
{
    const uint32_t slot = slot_of(generation);

    if (slot == SMCU_SLOT_NONE) {
        return "push.nothing";
    }
    if (smcu_session_running()) {
        return "push.busy";
    }
    push.uploading = false;
    if (is_whole(slot) && !smcu_slots_retire(slot)) {
        return "push.flash";
    }
    if (slot == push.running) {
        smcu_session_abandon();
        *model_status = smcu_push_boot();
    }
    return ok;
}

static const char *handle(const smcu_frame_t *packet, uint32_t generation,
                          smcu_selftest_result_t *result, smcu_status_t *model_status)
{
    const uint8_t *rest = packet->payload + 4;

    switch (packet->type) {
    case SMCU_PACKET_UP_CHUNK:
        return chunk(generation, rest, packet->payload_bytes - 4u);
    case SMCU_PACKET_UP_END:
        return end(generation);
    case SMCU_PACKET_UP_TEST:
        return test(generation, result, model_status);
    case SMCU_PACKET_UP_COMMIT:
        return commit(generation);
    default:
        return retire(generation, model_status);
    }
}

static void answer(uint8_t type, uint32_t generation, const char *why,
                   const smcu_selftest_result_t *result)
{
    smcu_wire_begin(SMCU_PACKET_UP_ACK);
    smcu_wire_u32(generation);
    smcu_wire_u32(push.next);
    smcu_wire_u8(type);
    smcu_wire_u8(0);
    smcu_wire_u16(result->vectors);
    smcu_wire_u16(result->passed);
    smcu_wire_u16(result->first_bad);
    smcu_wire_text(why);
    smcu_wire_send();
}

static bool is_signed(const smcu_frame_t *packet)
{
    return packet->payload_bytes >= BEGIN_BYTES &&
           (smcu_bytes_u16(packet->payload + 10) & FLAG_SIGNED) != 0u;
}

static bool has_right_length(const smcu_frame_t *packet)
{
    switch (packet->type) {
    case SMCU_PACKET_UP_BEGIN:
        return packet->payload_bytes ==
               BEGIN_BYTES + (is_signed(packet) ? SMCU_SLOT_SIGNATURE_BYTES : 0u);
    case SMCU_PACKET_UP_CHUNK:
        return packet->payload_bytes >= 8u;
    default:
        return packet->payload_bytes == 4u;
    }
}

bool smcu_push_packet(const smcu_frame_t *packet, smcu_status_t *model_status)
{
    smcu_selftest_result_t result = {0};
    uint32_t generation = 0;
    const char *why = "push.none";

    if (packet->type < SMCU_PACKET_UP_BEGIN || packet->type > SMCU_PACKET_UP_RETIRE) {
        return false;
    }
    if (!has_right_length(packet)) {
        smcu_wire_error(SMCU_LINK_ERR_PAYLOAD, "UP_: wrong length");
        return true;
    }
    if (smcu_slots_room() > 0u && packet->type == SMCU_PACKET_UP_BEGIN) {
        why = begin(packet->payload, is_signed(packet));
        generation = push.coming.generation;
    } else if (smcu_slots_room() > 0u) {
        generation = smcu_bytes_u32(packet->payload);
        why = handle(packet, generation, &result, model_status);
    }
    answer(packet->type, generation, why, &result);
    return true;
}

uint32_t smcu_push_running(void)
{
    return push.running;
}

const char *smcu_push_why(uint32_t slot)
{
    return push.why[slot];
}

#endif

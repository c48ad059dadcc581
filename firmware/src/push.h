/* Models that come over the link: into a slot of the flash, tried, confirmed, rolled back; and which
 * model a boot takes (docs/push.md). Where the board's file has no `push`, only the built-in one. */
#ifndef SMCU_PUSH_H
#define SMCU_PUSH_H

#include <stdbool.h>

#include "frame.h"
#include "session.h"

#ifdef SMCU_PUSH

/* Opens the newest model that proves itself: a slot's, else the other's, else the built-in one. */
smcu_status_t smcu_push_boot(void);

/* Handles the UP_ packets and answers each with UP_ACK; false: it is another packet. `model_status`
 * changes with the model. */
bool smcu_push_packet(const smcu_frame_t *packet, smcu_status_t *model_status);

/* The slot whose model runs, or SMCU_SLOT_NONE: the built-in one. */
uint32_t smcu_push_running(void);

/* Why the last boot passed a slot over; "ok" where it had no reason to. */
const char *smcu_push_why(uint32_t slot);

#else

static inline smcu_status_t smcu_push_boot(void)
{
    return smcu_session_built_in();
}

static inline bool smcu_push_packet(const smcu_frame_t *packet, smcu_status_t *model_status)
{
    (void)packet;
    (void)model_status;
    return false;
}

#endif

#endif

/* The voice-activity gate: which audio is worth the network's work (docs/numerics.md, section 4).
 * Equal bit for bit to shiftmcu/activity.py.
 *
 *     voice = level > floor + 2 octaves
 *
 * `level` is log2 of the energy of the differences from sample to sample in a hop; `floor` follows
 * it, down fast, up slowly, never below 12 octaves. The caller keeps the audio.
 */
#ifndef SMCU_ACTIVITY_H
#define SMCU_ACTIVITY_H

#include <stdbool.h>
#include <stdint.h>

#include "model.h"

#define SMCU_ACTIVITY_HOP 320u     /* samples, 20 ms */
#define SMCU_ACTIVITY_PRE_ROLL 15u /* hops before the one that wakes the network that it hears too */

/* Owned by the caller, opaque to it. */
typedef struct {
    uint32_t hold; /* hops to stay awake after the last one with voice */
    uint32_t left; /* of them */
    int32_t floor; /* 1/256 octaves */
    int16_t before; /* the last sample */
    bool started;
} smcu_activity_t;

/* Hops that a model's event may come after the last voice: a second, and what its smoothing and its
 * hold take. */
uint32_t smcu_activity_hold(const smcu_model_t *model);

/* Starts a stream. */
void smcu_activity_init(smcu_activity_t *activity, uint32_t hold);

/* Takes the next hop; true while the network is to hear. */
bool smcu_activity_hop(smcu_activity_t *activity, const int16_t pcm[SMCU_ACTIVITY_HOP]);

#endif

#include "activity.h"

#include <string.h>

#include "frontend_tables.h"

#define LEAST_FLOOR (12 * 256)
#define ABOVE (2 * 256)
#define RISE 4
#define FALL_SHIFT 2
#define HOLD_HOPS 50u
#define HOLD_DECISIONS 3u

uint32_t smcu_activity_hold(const smcu_model_t *model)
{
    return HOLD_HOPS + ((HOLD_DECISIONS * model->hop_frames) << model->smooth_shift)
           + (model->hold - 1u) * model->hop_frames;
}

void smcu_activity_init(smcu_activity_t *activity, uint32_t hold)
{
    memset(activity, 0, sizeof *activity);
    activity->hold = hold;
}

/* 256 log2 of x; 0 for 0. */
static int32_t log2_of(uint64_t x)
{
    uint32_t top = (uint32_t)(x >> 32);
    int32_t octave = 63;

    if (top == 0u) {
        top = (uint32_t)x;
        octave = 31;
        x <<= 32;
    }
    if (top == 0u) {
        return 0;
    }
    const int zeros = __builtin_clz(top);
    return 256 * (octave - zeros) + smcu_frontend_log[(x << zeros >> 57) & 63u];
}

/* A difference has 17 bits and its square 32; their sum has 41. */
static int32_t level_of(const int16_t *pcm, int32_t before)
{
    uint64_t energy = 0;

    for (uint32_t i = 0; i < SMCU_ACTIVITY_HOP; i++) {
        const int32_t step = pcm[i] - before;
        const uint32_t size = (uint32_t)(step < 0 ? -step : step);

        energy += size * size;
        before = pcm[i];
    }
    return log2_of(energy);
}

bool smcu_activity_hop(smcu_activity_t *activity, const int16_t pcm[SMCU_ACTIVITY_HOP])
{
    const int32_t level = level_of(pcm, activity->before);

    activity->before = pcm[SMCU_ACTIVITY_HOP - 1u];
    if (!activity->started) {
        activity->started = true;
        activity->floor = level;
    }
    activity->floor = activity->floor < LEAST_FLOOR ? LEAST_FLOOR : activity->floor;
    const bool voice = level > activity->floor + ABOVE;
    activity->floor += level < activity->floor ? (level - activity->floor) >> FALL_SHIFT : RISE;
    activity->left = voice ? activity->hold : activity->left - (activity->left > 0u ? 1u : 0u);
    return activity->left > 0u;
}

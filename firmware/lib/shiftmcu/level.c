#include "level.h"

#include <string.h>

size_t smcu_level_take(smcu_level_t *level, const int16_t *pcm, size_t n)
{
    const size_t room = SMCU_LEVEL_SAMPLES - level->samples;
    const size_t taken = n < room ? n : room;

    for (size_t i = 0; i < taken; i++) {
        const int32_t x = pcm[i];
        const uint32_t size = (uint32_t)(x < 0 ? -x : x);

        level->squares += size * size;
        level->peak = (uint16_t)(size > level->peak ? size : level->peak);
        level->clipped = (uint16_t)(level->clipped + (x == INT16_MAX || x == INT16_MIN ? 1 : 0));
    }
    level->samples += (uint32_t)taken;
    return taken;
}

/* floor(sqrt(x)) for x <= 2^30, a bit at a time. */
static uint32_t root(uint32_t x)
{
    uint32_t r = 0;
    for (uint32_t bit = 1u << 15; bit != 0; bit >>= 1) {
        r = (r + bit) * (r + bit) <= x ? r + bit : r;
    }
    return r;
}

bool smcu_level_report(smcu_level_t *level, smcu_level_report_t *report)
{
    if (level->samples < SMCU_LEVEL_SAMPLES) {
        return false;
    }
    report->peak = level->peak;
    report->rms = (uint16_t)root((uint32_t)(level->squares / SMCU_LEVEL_SAMPLES));
    report->clipped = level->clipped;
    memset(level, 0, sizeof *level);
    return true;
}

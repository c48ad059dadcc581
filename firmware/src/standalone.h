/* Stand-alone mode (docs/standalone.md): without a host the board listens by itself, raises a pin and
 * prints a line per intent. Only in firmware built with SMCU_STANDALONE; elsewhere it never runs. */
#ifndef SMCU_STANDALONE_H
#define SMCU_STANDALONE_H

#include <stdbool.h>
#include <stdint.h>

/* Whether this firmware has it, as INFO says it. */
#ifdef SMCU_STANDALONE
#define SMCU_STANDALONE_BUILT "yes"
#else
#define SMCU_STANDALONE_BUILT "no"
#endif

#ifdef SMCU_STANDALONE

/* Starts to listen; false, and a line that says why, when the microphone does not start. */
bool smcu_standalone_start(void);

/* A host takes over: the microphone stops, all pins go low. */
void smcu_standalone_stop(void);

bool smcu_standalone_running(void);

/* Of this time alone, or of the last one. */
typedef struct {
    uint32_t alone_ms; /* to the last whole second */
    uint32_t slept_ms; /* of them: the core in light sleep */
    uint32_t heard_hops, awake_hops; /* of 20 ms; the network heard the latter */
} smcu_standalone_count_t;

const smcu_standalone_count_t *smcu_standalone_count(void);

/* Takes what the microphone has heard, at most 20 ms of it, and ends the pulses that are over. */
void smcu_standalone_poll(void);

#else

static inline bool smcu_standalone_start(void)
{
    return false;
}

static inline void smcu_standalone_stop(void)
{
}

static inline bool smcu_standalone_running(void)
{
    return false;
}

static inline void smcu_standalone_poll(void)
{
}

#endif

#endif

/* For tests of latency: the network takes SMCU_SLOW_MS longer in every block that brings a decision,
 * and says on stderr how long the blocks of that decision took, by the clock of this PC.
 *
 * Linked into the board `native` with -Wl,--wrap=smcu_net_run. */
#define _XOPEN_SOURCE 700

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "net.h"

#define SPIN_NS 2000000 /* sleep until so long before the end: a sleep may be late */

const int32_t *__real_smcu_net_run(smcu_net_t *net);
const int32_t *__wrap_smcu_net_run(smcu_net_t *net);

static long long now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void wait_until(long long end_ns)
{
    const long long rest = end_ns - now_ns() - SPIN_NS;

    if (rest > 0) {
        const struct timespec pause = {.tv_sec = (time_t)(rest / 1000000000),
                                       .tv_nsec = (long)(rest % 1000000000)};
        (void)nanosleep(&pause, NULL);
    }
    while (now_ns() < end_ns) {
    }
}

const int32_t *__wrap_smcu_net_run(smcu_net_t *net)
{
    static long long of_decision;
    const char *slow = getenv("SMCU_SLOW_MS");
    const long long start = now_ns();
    const int32_t *logits = __real_smcu_net_run(net);

    if (logits != NULL && slow != NULL) {
        wait_until(now_ns() + strtoll(slow, NULL, 10) * 1000000);
    }
    of_decision += now_ns() - start;
    if (logits != NULL) {
        fprintf(stderr, "network %lld ns\n", of_decision);
        of_decision = 0;
    }
    return logits;
}

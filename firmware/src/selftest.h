/* The model's own test vectors, played on this machine. */
#ifndef SMCU_SELFTEST_H
#define SMCU_SELFTEST_H

#include <stdint.h>

#include "stream.h"

typedef struct {
    uint32_t vectors;
    uint32_t passed;
    uint32_t first_bad; /* 0xffff: none */
} smcu_selftest_result_t;

/* Runs every vector of the model through `stream`; leaves it reset. */
smcu_selftest_result_t smcu_selftest_run(smcu_stream_t *stream);

#endif

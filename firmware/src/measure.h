/* Energy windows (docs/energy.md): silence, an idle window, inferences under the gate, the result.
 * In firmware built with SMCU_ENERGY: no byte is sent and no meter is read in either window. */
#ifndef SMCU_MEASURE_H
#define SMCU_MEASURE_H

#include <stddef.h>
#include <stdint.h>

#include "stream.h"

/* The packet MEASURE: answers MEASURING, is silent for both windows, then sends ENERGY. */
void smcu_measure(smcu_stream_t *stream, const uint8_t *payload, size_t n);

#endif

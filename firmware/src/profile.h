/* Ticks of every part of the network, for LAYER; in firmware built with SMCU_PROFILE. */
#ifndef SMCU_PROFILE_H
#define SMCU_PROFILE_H

#include "net.h"

/* Watches the network from now on; the sums start at 0. */
void smcu_profile_start(smcu_net_t *net);

/* Sends the sums since the last LAYER, or since the start, and begins anew. */
void smcu_profile_send(uint32_t decision);

#endif

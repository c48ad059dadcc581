#include "profile.h"

#ifdef SMCU_PROFILE

#include <string.h>

#include "port.h"
#include "wire.h"

static struct {
    uint32_t parts; /* of the model: its layers, history, decision */
    uint32_t part;  /* the one that runs */
    uint32_t began; /* ticks */
    uint32_t ticks[SMCU_MODEL_MAX_LAYERS + SMCU_NET_END];
} smcu_profile_sums;

/* What runs between blocks is no part: each block begins with part 0. */
static void part_begins(uint32_t index)
{
    const uint32_t now = smcu_port_ticks();

    if (index > 0u) {
        smcu_profile_sums.ticks[smcu_profile_sums.part] += now - smcu_profile_sums.began;
    }
    smcu_profile_sums.part = index;
    smcu_profile_sums.began = now;
}

void smcu_profile_start(smcu_net_t *net)
{
    smcu_profile_sums.parts = net->model->n_layers + SMCU_NET_END;
    memset(smcu_profile_sums.ticks, 0, sizeof(smcu_profile_sums.ticks));
    net->part = part_begins;
}

void smcu_profile_send(uint32_t decision)
{
    smcu_wire_begin(SMCU_PACKET_LAYER);
    smcu_wire_u32(decision);
    smcu_wire_u16(smcu_profile_sums.parts);
    smcu_wire_u16(0);
    for (uint32_t i = 0; i < smcu_profile_sums.parts; i++) {
        smcu_wire_u32(smcu_profile_sums.ticks[i]);
    }
    smcu_wire_send();
    memset(smcu_profile_sums.ticks, 0, sizeof(smcu_profile_sums.ticks));
}

#else

void smcu_profile_start(smcu_net_t *net)
{
    (void)net;
}

void smcu_profile_send(uint32_t decision)
{
    (void)decision;
}

#endif

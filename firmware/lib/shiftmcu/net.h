/* The network, block by block: total_stride frames in, perhaps one vector of logits out.
 *
 * The arena holds, each part rounded up to 4 bytes:
 *
 *     records    12 (n_layers + 1)      where each tensor lies
 *     logits     4 n_logits
 *     ring       segments * values      means of the pool's window
 *     sums       4 values               of the unfinished segment; none when segment = 1
 *     tensor t   (history + rows) * values, u = q + 128, one part per tensor but logits
 *     scratch    max(1024, 4 smcu_conv_scratch_words of every layer)
 *
 * `values` are those of one position, width * channels. `rows` are the positions per block,
 * total_stride / stride of the tensor (1 behind the pool); `history` is the max over the
 * convolutions that read it of kernel - stride (not below 0). A producer writes right behind the
 * history; at the end of a block the last rows move to the front.
 */
#ifndef SMCU_NET_H
#define SMCU_NET_H

#include "model.h"

typedef struct {
    const smcu_model_t *model;
    uint8_t *arena;
    uint32_t logits_at, ring_at, sums_at, scratch_at; /* byte offsets in the arena */
    uint32_t filled; /* positions in the unfinished segment */
    uint32_t next;   /* ring entry that the next segment replaces */
    /* Set after smcu_net_init, or NULL: called when a part of a block begins. Parts are the layers,
     * then SMCU_NET_HISTORY, SMCU_NET_DECISION and SMCU_NET_END behind them. */
    void (*part)(uint32_t index);
} smcu_net_t;

/* Parts of a block behind its n_layers layers: n_layers + one of these. */
enum { SMCU_NET_HISTORY, SMCU_NET_DECISION, SMCU_NET_END };

/* Bytes of arena for an opened model. */
size_t smcu_net_arena_bytes(const smcu_model_t *model);

/* Starts at rest. The arena must be aligned to 4 bytes: else SMCU_ERR_ARENA. */
smcu_status_t smcu_net_init(smcu_net_t *net, const smcu_model_t *model, void *arena,
                            size_t arena_bytes);

/* Forgets everything heard: all history is 0, the ring is empty. */
void smcu_net_reset(smcu_net_t *net);

/* Where the next block's features go: int8 (total_stride, bins). */
int8_t *smcu_net_input(smcu_net_t *net);

/* Runs one block over the features at smcu_net_input. Returns int32 (n_logits), valid until the
 * next call, when the block finished a segment of the pool; else NULL. */
const int32_t *smcu_net_run(smcu_net_t *net);

/* For tests and debugging: the activations that the last block gave tensor `tensor`, as q + 128.
 * Sets their shape. NULL for logits. Tensor 0 is spoilt once new features are written. */
const uint8_t *smcu_net_tensor(const smcu_net_t *net, uint32_t tensor, uint32_t *rows,
                               uint32_t *values);

/* Tells net->part, where it is set, that a part begins: for the caller's parts behind the layers. */
void smcu_net_part(const smcu_net_t *net, uint32_t index);

/* 1024 bytes or more that nobody uses between two runs: the frontend's scratch. */
uint32_t *smcu_net_scratch(smcu_net_t *net);

#endif

/* The walk over a model file that smcu_model_open makes. Private to model_check.c, model_graph.c.
 *
 * The layout is canonical: sections stand behind each other in one order, each at a multiple of 4,
 * gaps zero. So a cursor knows where the next section must be, and no offset can point elsewhere.
 */
#ifndef SMCU_MODEL_CHECK_H
#define SMCU_MODEL_CHECK_H

#include "model.h"

typedef struct {
    uint16_t values;  /* per position: width * channels */
    uint16_t stride;  /* frames per position, <= SMCU_MODEL_MAX_TOTAL_STRIDE; of no use when pooled */
    bool pooled;      /* behind the pool: one position per decision */
    bool is_logits;
} smcu_check_tensor_t;

typedef struct {
    smcu_model_t *model;
    uint32_t cursor; /* where the next section starts; <= model->total_bytes */
    uint32_t pools;
    smcu_check_tensor_t tensors[SMCU_MODEL_MAX_LAYERS + 1];
} smcu_check_t;

/* The next section: it must start at `at`; its gap to a multiple of 4 must be zero. */
smcu_status_t smcu_check_section(smcu_check_t *check, uint32_t at, uint32_t n_bytes);

/* All layers in order: fields, graph, shapes, sections, codes, overflow proofs.
 * Sets total_stride and hop_frames of the model. */
smcu_status_t smcu_check_layers(smcu_check_t *check);

#define SMCU_CHECK(call)                    \
    do {                                    \
        const smcu_status_t status_ = call; \
        if (status_ != SMCU_OK) {           \
            return status_;                 \
        }                                   \
    } while (0)

#endif

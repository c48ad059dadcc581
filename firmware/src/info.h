/* INFO: what this firmware, its machine and its model are. */
#ifndef SMCU_INFO_H
#define SMCU_INFO_H

#include "status.h"

/* Sends every key; the model's own only when it was opened (status SMCU_OK). */
void smcu_info_send(smcu_status_t model_status);

#endif

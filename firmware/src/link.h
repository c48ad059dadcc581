/* The shlink/1 link (docs/protocol.md): packets in, packets out, and the stream they carry. */
#ifndef SMCU_LINK_H
#define SMCU_LINK_H

/* Opens the model and readies the link; call after smcu_port_init. */
void smcu_link_init(void);

/* Handles every byte that waits in smcu_rx_ring, and the heartbeat. */
void smcu_link_poll(void);

#endif

/* Firmware entry: the same on every machine. */
#include "link.h"
#include "microphone.h"
#include "port.h"
#include "ring.h"
#include "session.h"
#include "standalone.h"

smcu_ring_t smcu_rx_ring;

int main(int argc, char **argv)
{
    smcu_port_init(argc, argv);
    smcu_link_init();
    for (;;) {
        smcu_link_poll();
        smcu_session_poll();
        smcu_standalone_poll();
        if (!smcu_microphone_ready()) { /* what comes just now wakes the port by its interrupt */
            smcu_port_wait();
        }
        smcu_port_alive();
    }
}

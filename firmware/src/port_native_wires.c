#define _XOPEN_SOURCE 700

#include "port_native_wires.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLOCK 1u
#define DATA 2u
#define GATE 4u
#define ASK 128u /* the listener answers with a byte: bit 1 is the data line */

static int wire = -1;
static uint8_t pins = CLOCK | DATA; /* what this side lets go high, and its gate */

bool smcu_wires_open(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    const int yes = 1;

    address.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    wire = socket(AF_INET, SOCK_STREAM, 0);
    if (wire < 0 || connect(wire, (const struct sockaddr *)&address, (socklen_t)sizeof(address)) != 0) {
        return false;
    }
    return setsockopt(wire, IPPROTO_TCP, TCP_NODELAY, &yes, (socklen_t)sizeof(yes)) == 0;
}

/* flags u8, t_ns u64, little-endian. */
static void tell(uint8_t flags, uint64_t t_ns)
{
    uint8_t message[9] = {flags};

    for (unsigned i = 0; i < 8u; i++) {
        message[1u + i] = (uint8_t)(t_ns >> (8u * i));
    }
    if (wire >= 0 && send(wire, message, sizeof(message), MSG_NOSIGNAL) != (ssize_t)sizeof(message)) {
        close(wire);
        wire = -1;
    }
}

static void set(uint8_t mask, uint8_t value, uint64_t t_ns)
{
    const uint8_t before = pins;

    pins = (uint8_t)((pins & ~mask) | value);
    if (pins != before) {
        tell(pins, t_ns);
    }
}

void smcu_wires_gate(bool high, uint64_t t_ns)
{
    set(GATE, high ? GATE : 0u, t_ns);
}

void smcu_wires_i2c(bool clock, bool data, uint64_t t_ns)
{
    set(CLOCK | DATA, (uint8_t)((clock ? CLOCK : 0u) | (data ? DATA : 0u)), t_ns);
}

bool smcu_wires_data(uint64_t t_ns)
{
    uint8_t levels = pins; /* nothing is wired: pulled up */

    tell(pins | ASK, t_ns);
    if (wire >= 0 && recv(wire, &levels, 1, 0) != 1) {
        close(wire);
        wire = -1;
    }
    return (levels & DATA) != 0u;
}

/* Port to a PC process: the link is a TCP socket or a pty.
 *
 *   firmware --tcp PORT [--until-stdin-closes]    0 chooses a port; prints "READY port=N"
 *   firmware --pty [--until-stdin-closes]         prints "READY pty=PATH"
 *   ... --flash FILE                              the model slots live there (default: in memory)
 *   ... --power-cut N                             the power fails when N bytes of them have changed
 *   ... --wires PORT                              gate and I2C pins: port_native_wires.h
 *   ... --mic i2s:FILE | --mic pdm:FILE           a microphone that hears FILE: the raw bytes that
 *                                                 its DMA would bring, at the pace of the listener,
 *                                                 while somebody is connected, or with
 *                                                 live:KIND:FILE as time passes; prints "MIC END"
 *
 * A pin that changes in stand-alone mode is printed: "PIN GPIO2 high".
 */
#define _XOPEN_SOURCE 700

#include "port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "microphone.h"
#include "port_native_flash.h"
#include "port_native_wires.h"
#include "ring.h"

#define WAIT_MS 100
#define MIC_WAIT_MS 2
#define PTY_STALL_MS 1000 /* nobody reads the pty: drop, as a UART would */

static smcu_port_info_t info = {
    .board = SMCU_BOARD, .mcu = "pc", .tick_unit = "ns", .tick_hz = 1000000000u};
static int listener = -1; /* waits for a client; -1 with a pty */
static int peer = -1;     /* the client, or the pty's master; -1: nobody */
static bool watch_stdin;

#define MIC_HALF_SAMPLES 160u
#define MIC_HALF_US 10000u
static smcu_mic_config_t mic_config = {.channels = 1};
static FILE *mic_file;
static bool mic_running;
static uint32_t mic_buffer[2][MIC_HALF_SAMPLES * SMCU_PDM_BYTES / 4u]; /* as a DMA fills it */
static unsigned mic_half;
static bool mic_live; /* halves come as time passes, not as fast as they are taken */
static uint32_t mic_started_us, mic_halves;

static void die(const char *what)
{
    perror(what);
    _exit(1); /* a READY that waits in stdout's buffer is not said */
}

static void open_tcp(const char *text)
{
    char *end;
    const unsigned long port = strtoul(text, &end, 10);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t bytes = sizeof(address);
    const int yes = 1;

    if (*text == '\0' || *end != '\0' || port > 65535u) {
        fprintf(stderr, "firmware: bad port %s\n", text);
        exit(2);
    }
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 ||
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, (socklen_t)sizeof(yes)) != 0 ||
        bind(listener, (const struct sockaddr *)&address, bytes) != 0 ||
        listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &bytes) != 0) {
        die("firmware: cannot listen");
    }
    printf("READY port=%u\n", (unsigned)ntohs(address.sin_port));
}

static void open_pty(void)
{
    struct termios raw;
    const char *path = NULL;

    peer = posix_openpt(O_RDWR | O_NOCTTY);
    if (peer < 0 || grantpt(peer) != 0 || unlockpt(peer) != 0 || (path = ptsname(peer)) == NULL) {
        die("firmware: cannot open a pty");
    }
    /* Held open on this side too, so that the master never sees a hang-up between two clients. */
    const int slave = open(path, O_RDWR | O_NOCTTY);
    if (slave < 0 || tcgetattr(slave, &raw) != 0) {
        die("firmware: cannot open the pty");
    }
    raw.c_iflag = 0;
    raw.c_oflag = 0;
    raw.c_lflag = 0;
    raw.c_cflag |= CS8;
    if (tcsetattr(slave, TCSANOW, &raw) != 0 || fcntl(peer, F_SETFL, O_NONBLOCK) != 0) {
        die("firmware: cannot set the pty raw");
    }
    printf("READY pty=%s\n", path);
}

static void open_mic(const char *text)
{
    mic_live = strncmp(text, "live:", 5) == 0;
    text += mic_live ? 5 : 0;
    mic_config.kind = strncmp(text, "pdm:", 4) == 0 ? SMCU_MIC_PDM : SMCU_MIC_I2S;
    if (mic_config.kind == SMCU_MIC_I2S && strncmp(text, "i2s:", 4) != 0) {
        fprintf(stderr, "firmware: --mic [live:]i2s:FILE or --mic [live:]pdm:FILE\n");
        exit(2);
    }
    mic_file = fopen(text + 4, "rb");
    if (mic_file == NULL) {
        die("firmware: --mic");
    }
}

const smcu_mic_config_t *smcu_port_mic_config(void)
{
    return mic_file == NULL ? NULL : &mic_config;
}

bool smcu_port_mic_start(void)
{
    mic_running = fseek(mic_file, 0, SEEK_SET) == 0;
    mic_started_us = smcu_port_micros();
    mic_halves = 0;
    return mic_running;
}

void smcu_port_mic_stop(void)
{
    mic_running = false;
}

/* The next half of the DMA buffer, when the last one was taken; false at the end of the file. */
static bool hear(void)
{
    const size_t bytes = MIC_HALF_SAMPLES * smcu_mic_sample_bytes(&mic_config);

    const uint32_t due_us = mic_started_us + mic_halves * MIC_HALF_US;
    if (!mic_running || peer < 0 || (mic_live && (int32_t)(smcu_port_micros() - due_us) < 0)) {
        return false;
    }
    if (fread(mic_buffer[mic_half], 1, bytes, mic_file) < bytes) {
        mic_running = false;
        printf("MIC END\n");
        fflush(stdout);
        return false;
    }
    smcu_microphone_half(mic_buffer[mic_half], bytes);
    mic_half ^= 1u;
    mic_halves++;
    return true;
}

static void open_flash(const char *path)
{
    if (!smcu_native_flash_open(path)) {
        die("firmware: --flash");
    }
}

void smcu_port_init(int argc, char **argv)
{
    struct timespec now;
    const char *flash = NULL;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--tcp") == 0 && i + 1 < argc) {
            open_tcp(argv[++i]);
        } else if (strcmp(argv[i], "--pty") == 0) {
            open_pty();
        } else if (strcmp(argv[i], "--mic") == 0 && i + 1 < argc) {
            open_mic(argv[++i]);
        } else if (strcmp(argv[i], "--flash") == 0 && i + 1 < argc) {
            flash = argv[++i];
        } else if (strcmp(argv[i], "--power-cut") == 0 && i + 1 < argc) {
            smcu_native_flash_cut((uint32_t)strtoul(argv[++i], NULL, 10));
        } else if (strcmp(argv[i], "--wires") == 0 && i + 1 < argc) {
            if (!smcu_wires_open(argv[++i])) {
                die("firmware: --wires");
            }
        } else if (strcmp(argv[i], "--until-stdin-closes") == 0) {
            watch_stdin = true;
        } else {
            fprintf(stderr, "usage: firmware --tcp PORT | --pty [--flash FILE] [--power-cut N] "
                            "[--mic KIND:FILE] [--until-stdin-closes]\n");
            exit(2);
        }
    }
    open_flash(flash);
    if (listener < 0 && peer < 0) {
        open_tcp("0");
    }
    fflush(stdout);
    (void)signal(SIGPIPE, SIG_IGN);
    clock_gettime(CLOCK_REALTIME, &now);
    info.boot_id = (uint32_t)now.tv_sec ^ (uint32_t)now.tv_nsec ^ ((uint32_t)getpid() << 16);
}

const smcu_port_info_t *smcu_port_info(void)
{
    return &info;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint32_t smcu_port_ticks(void)
{
    return (uint32_t)now_ns();
}

uint32_t smcu_port_micros(void)
{
    return (uint32_t)(now_ns() / 1000u);
}

uint32_t smcu_port_stack_free(void)
{
    return 0;
}

void smcu_port_alive(void)
{
}

void smcu_port_gate(bool high)
{
    smcu_wires_gate(high, now_ns());
}

void smcu_port_i2c_start(void)
{
    smcu_wires_i2c(true, true, now_ns());
}

void smcu_port_i2c_drive(bool clock, bool data)
{
    smcu_wires_i2c(clock, data, now_ns());
}

bool smcu_port_i2c_clock(void)
{
    return true; /* nothing at the other end holds it down */
}

bool smcu_port_i2c_data(void)
{
    return smcu_wires_data(now_ns());
}

#ifdef SMCU_STANDALONE
void smcu_port_pin_start(uint32_t pin)
{
    smcu_port_pin(pin, false);
}

void smcu_port_pin(uint32_t pin, bool high)
{
    printf("PIN GPIO%u %s\n", (unsigned)pin, high ? "high" : "low");
    fflush(stdout);
}
#endif

const smcu_port_fault_t *smcu_port_fault(void)
{
    return NULL;
}

static uint32_t slept_us;

uint32_t smcu_port_slept_us(void)
{
    return slept_us;
}

static void hang_up(void)
{
    if (listener >= 0 && peer >= 0) {
        close(peer);
        peer = -1;
    }
}

void smcu_port_write(const uint8_t *bytes, size_t n)
{
    while (n > 0 && peer >= 0) {
        struct pollfd out = {.fd = peer, .events = POLLOUT};
        if (poll(&out, 1, listener >= 0 ? -1 : PTY_STALL_MS) == 0) {
            return;
        }
        const ssize_t sent = write(peer, bytes, n);

        if (sent < 0 && errno != EINTR && errno != EAGAIN) {
            hang_up();
            return;
        }
        if (sent > 0) {
            bytes += sent;
            n -= (size_t)sent;
        }
    }
}

static void receive(void)
{
    uint8_t bytes[SMCU_RX_RING_BYTES];
    const size_t room = SMCU_RX_RING_BYTES - smcu_ring_used(&smcu_rx_ring);
    const ssize_t got = read(peer, bytes, room); /* never more than fits: the rest stays queued */

    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) {
        hang_up();
    }
    for (ssize_t i = 0; i < got; i++) {
        smcu_ring_put(&smcu_rx_ring, bytes[i]);
    }
}

void smcu_port_wait(void)
{
    struct pollfd fds[2] = {{.fd = peer >= 0 ? peer : listener, .events = POLLIN},
                            {.fd = watch_stdin ? STDIN_FILENO : -1, .events = POLLIN}};

    const int idle_ms = (mic_live && mic_running) ? MIC_WAIT_MS : WAIT_MS;
    const bool heard = hear();
    const uint64_t before_ns = now_ns();
    const int ready = poll(fds, 2, heard ? 0 : idle_ms);
    slept_us += (uint32_t)((now_ns() - before_ns) / 1000u);
    if (ready <= 0) {
        return;
    }
    if (fds[1].revents != 0) {
        char byte;
        if (read(STDIN_FILENO, &byte, 1) == 0) {
            exit(0);
        }
    }
    if (fds[0].revents == 0) {
        return;
    }
    if (peer >= 0) {
        receive();
        return;
    }
    const int yes = 1;
    peer = accept(listener, NULL, NULL);
    if (peer >= 0) { /* small packets must not wait for each other */
        (void)setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &yes, (socklen_t)sizeof(yes));
    }
}

#include "microphone.h"

#include "port.h"

#ifdef SMCU_MIC

#include "mic.h"

/* One writer (the interrupt), one reader (the main loop), each with counters of its own. After a
 * half-buffer that did not fit all are lost until the reader has come to that place: so there is
 * one gap at a time, and it is where the ring is empty. */
static struct {
    smcu_mic_t mic;
    volatile uint32_t put, lost;       /* the writer's: samples so far, modulo 2^32 */
    volatile uint32_t taken, reported; /* the reader's */
    bool running;
    int16_t pcm[SMCU_MICROPHONE_RING];
} microphone;

const char *smcu_microphone_kind(void)
{
    const smcu_mic_config_t *config = smcu_port_mic_config();

    return config == NULL ? "none" : config->kind == SMCU_MIC_PDM ? "pdm" : "i2s";
}

bool smcu_microphone_start(void)
{
    const smcu_mic_config_t *config = smcu_port_mic_config();

    smcu_microphone_stop();
    if (config == NULL) {
        return false;
    }
    smcu_mic_init(&microphone.mic, config);
    microphone.put = 0;
    microphone.taken = 0;
    microphone.lost = 0;
    microphone.reported = 0;
    microphone.running = smcu_port_mic_start();
    return microphone.running;
}

void smcu_microphone_stop(void)
{
    if (microphone.running) {
        smcu_port_mic_stop();
        microphone.running = false;
        microphone.taken = microphone.put; /* what waits is for nobody */
        microphone.reported = microphone.lost;
    }
}

bool smcu_microphone_ready(void)
{
    return microphone.put != microphone.taken || microphone.lost != microphone.reported;
}

size_t smcu_microphone_take(int16_t *pcm, size_t n, uint32_t *lost)
{
    const uint32_t gap = microphone.lost - microphone.reported; /* read before `put` */
    const uint32_t waiting = microphone.put - microphone.taken;

    *lost = 0;
    if (waiting == 0u) {
        *lost = gap;
        microphone.reported += gap;
        return 0;
    }
    n = n < waiting ? n : waiting;
    for (size_t i = 0; i < n; i++) {
        pcm[i] = microphone.pcm[(microphone.taken + (uint32_t)i) % SMCU_MICROPHONE_RING];
    }
    microphone.taken += (uint32_t)n;
    return n;
}

void smcu_microphone_half(const void *half, size_t bytes)
{
    const size_t size = smcu_mic_sample_bytes(&microphone.mic.config);
    const uint8_t *next = half;
    const uint32_t samples = (uint32_t)(bytes / size);
    const uint32_t waiting = microphone.put - microphone.taken;

    if (microphone.lost != microphone.reported || samples > SMCU_MICROPHONE_RING - waiting) {
        microphone.lost += samples;
        return;
    }
    for (uint32_t done = 0; done < samples;) {
        const uint32_t at = (microphone.put + done) % SMCU_MICROPHONE_RING;
        const uint32_t to_end = SMCU_MICROPHONE_RING - at;
        const uint32_t n = samples - done < to_end ? samples - done : to_end;

        smcu_mic_convert(&microphone.mic, next, n, microphone.pcm + at);
        next += n * size;
        done += n;
    }
    microphone.put += samples;
}

void smcu_microphone_lose(uint32_t samples)
{
    microphone.lost += samples;
}

#else

const char *smcu_microphone_kind(void)
{
    return "none";
}

bool smcu_microphone_start(void)
{
    return false;
}

void smcu_microphone_stop(void)
{
}

bool smcu_microphone_ready(void)
{
    return false;
}

size_t smcu_microphone_take(int16_t *pcm, size_t n, uint32_t *lost)
{
    (void)pcm;
    (void)n;
    *lost = 0;
    return 0;
}

void smcu_microphone_half(const void *half, size_t bytes)
{
    (void)half;
    (void)bytes;
}

#endif

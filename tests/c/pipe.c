/* The C sides of frontend and packets as filters, for tests under the sanitizers.
 *
 *     pipe features CHUNK...   int16 samples -> int8 features; fed in chunks of these sizes, cyclically
 *     pipe packets             bytes of a link -> its packets, encoded again, then errors as u32
 *     pipe mic KIND CHANNELS CHANNEL SWAPPED GAIN CHUNK...
 *                              a microphone's DMA buffer -> int16 samples; CHUNK samples at a time
 *     pipe activity HOLD       int16 samples -> a byte per hop of 320: 1 where the network hears
 *     pipe level               int16 samples -> peak, rms, clipped per second, as text
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activity.h"
#include "frame.h"
#include "frontend.h"
#include "level.h"
#include "mic.h"

static int features(int n_chunks, char **chunks)
{
    static smcu_frontend_t frontend;
    static uint32_t scratch[SMCU_FRONTEND_SCRATCH_WORDS];
    int8_t row[SMCU_FRONTEND_BINS];
    int i = 0;

    smcu_frontend_init(&frontend);
    for (;;) {
        size_t n = strtoul(chunks[i], NULL, 10);
        /* A block of its own size, so that reading past it is seen. */
        int16_t *block = malloc(n > 0 ? n * sizeof *block : 1);
        const size_t got = n > 0 ? fread(block, sizeof *block, n, stdin) : 0;
        for (size_t done = 0; done < got;) {
            done += smcu_frontend_feed(&frontend, block + done, got - done);
            if (smcu_frontend_ready(&frontend)) {
                smcu_frontend_take(&frontend, scratch, row);
                fwrite(row, 1, sizeof row, stdout);
            }
        }
        free(block);
        if (got < n) {
            return 0;
        }
        i = (i + 1) % n_chunks;
    }
}

static int packets(void)
{
    smcu_frame_decoder_t *decoder = malloc(sizeof *decoder);
    int byte;

    smcu_frame_decoder_init(decoder);
    while ((byte = getchar()) != EOF) {
        const smcu_frame_t *packet = smcu_frame_decoder_put(decoder, (uint8_t)byte);
        if (packet != NULL) {
            const size_t room = smcu_frame_encoded_max(packet->payload_bytes);
            uint8_t *out = malloc(room);
            const size_t n = smcu_frame_encode(packet, out, room);
            fwrite(out, 1, n, stdout);
            if (n == 0 || smcu_frame_encode(packet, out, room - 1) != 0) {
                return 1;
            }
            free(out);
        }
    }
    for (int i = 0; i < 4; i++) {
        putchar((int)(decoder->errors >> (8 * i) & 0xffu));
    }
    free(decoder);
    return 0;
}

static int mic(int n_chunks, char **words)
{
    static smcu_mic_t state;
    const smcu_mic_config_t config = {
        .kind = strcmp(words[0], "pdm") == 0 ? SMCU_MIC_PDM : SMCU_MIC_I2S,
        .channels = (uint8_t)atoi(words[1]),
        .channel = (uint8_t)atoi(words[2]),
        .halves_swapped = atoi(words[3]) != 0,
        .gain_shift = (uint8_t)atoi(words[4]),
    };
    const size_t size = smcu_mic_sample_bytes(&config);
    size_t got = 1;

    smcu_mic_init(&state, &config);
    for (int i = 0; got > 0; i = (i + 1) % n_chunks) {
        const size_t n = strtoul(words[5 + i], NULL, 10);
        uint8_t *in = malloc(n * size);
        int16_t *out = malloc(n * sizeof *out);
        got = fread(in, size, n, stdin);
        smcu_mic_convert(&state, in, got, out);
        fwrite(out, sizeof *out, got, stdout);
        free(in);
        free(out);
    }
    return 0;
}

static int activity(const char *hold)
{
    smcu_activity_t state;
    int16_t pcm[SMCU_ACTIVITY_HOP];

    smcu_activity_init(&state, (uint32_t)strtoul(hold, NULL, 10));
    while (fread(pcm, sizeof *pcm, SMCU_ACTIVITY_HOP, stdin) == SMCU_ACTIVITY_HOP) {
        putchar(smcu_activity_hop(&state, pcm) ? 1 : 0);
    }
    return 0;
}

static int level(void)
{
    static smcu_level_t state;
    smcu_level_report_t report;
    int16_t pcm[700];
    size_t got;

    while ((got = fread(pcm, sizeof *pcm, 700, stdin)) > 0) {
        for (size_t done = 0; done < got;) {
            done += smcu_level_take(&state, pcm + done, got - done);
            if (smcu_level_report(&state, &report)) {
                printf("%u %u %u\n", report.peak, report.rms, report.clipped);
            }
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "features") == 0) {
        return features(argc - 2, argv + 2);
    }
    if (argc == 2 && strcmp(argv[1], "packets") == 0) {
        return packets();
    }
    if (argc > 7 && strcmp(argv[1], "mic") == 0) {
        return mic(argc - 7, argv + 2);
    }
    if (argc == 3 && strcmp(argv[1], "activity") == 0) {
        return activity(argv[2]);
    }
    if (argc == 2 && strcmp(argv[1], "level") == 0) {
        return level();
    }
    return 2;
}

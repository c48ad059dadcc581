/* libFuzzer: any bytes as a model. Their checksum is made right first, so that the walk goes deep;
 * a model that is accepted then runs a few blocks and a short stream in an exact arena.
 *
 * Built with FUZZ_MAIN it is a program without libFuzzer: it runs every file named on its command line.
 */
#include <stdio.h>
#include <stdlib.h>

#include "frame.h"
#include "stream.h"

enum { CRC_AT = 12, CRC_FROM = 16, MOST_BYTES = 1 << 16, BLOCKS = 3, SAMPLES = 7000 };

#define MOST_WORK (1u << 24)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_u32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(value >> (8 * i));
    }
}

/* Allocates exactly n bytes, so that the sanitizer sees the first byte too many. */
static void *exactly(size_t n)
{
    void *p = malloc(n > 0 ? n : 1);
    if (p == NULL) {
        abort();
    }
    return p;
}

/* Weights times outputs of a block: a small file may ask for hours of work. */
static uint64_t work_of(const smcu_model_t *model)
{
    uint64_t work = 0;
    for (uint32_t i = 0; i < model->n_layers; i++) {
        smcu_layer_t layer;
        smcu_model_layer(model, i, &layer);
        if (layer.op == SMCU_OP_CONV) {
            work += (uint64_t)smcu_model_taps(&layer) * layer.c_out * smcu_model_out_width(&layer);
        }
    }
    return work * model->total_stride;
}

/* The network by itself, with features of any width and extreme values. */
static void run_network(const smcu_model_t *model)
{
    const size_t bytes = smcu_net_arena_bytes(model);
    void *arena = exactly(bytes);
    smcu_net_t net;
    if (bytes > (1u << 22) || smcu_net_init(&net, model, arena, bytes) != SMCU_OK) {
        free(arena);
        return;
    }
    uint32_t random = 1;
    for (int block = 0; block < BLOCKS; block++) {
        int8_t *input = smcu_net_input(&net);
        for (uint32_t i = 0; i < (uint32_t)model->total_stride * model->bins; i++) {
            random = random * 1664525u + 1013904223u;
            const int8_t noise = (int8_t)(uint8_t)(random >> 24);
            input[i] = block == 0 ? 127 : block == 1 ? -128 : noise;
        }
        (void)smcu_net_run(&net);
    }
    free(arena);
}

static void run_stream(const smcu_model_t *model)
{
    static int16_t pcm[SAMPLES];
    const size_t bytes = smcu_stream_arena_bytes(model);
    void *arena = exactly(bytes);
    smcu_stream_t stream;
    smcu_result_t result;
    if (smcu_stream_init(&stream, model, arena, bytes, NULL) == SMCU_OK) {
        for (size_t at = 0; at < SAMPLES;) {
            pcm[at] = (int16_t)((at * 7919u) & 0x7fffu);
            at += smcu_stream_push(&stream, pcm + at, SAMPLES - at, &result);
        }
        (void)smcu_stream_flush_samples(&stream);
    }
    free(arena);
}

/* Everything that an accepted model offers is read once. */
static void read_all(const smcu_model_t *model)
{
    volatile uint32_t sum = smcu_model_sha256(model)[31] + (uint32_t)smcu_model_name(model)[0];
    for (uint32_t i = 0; i < model->n_heads; i++) {
        smcu_head_t head;
        smcu_model_head(model, i, &head);
        sum += (uint32_t)head.name[0];
        sum += (uint32_t)smcu_model_label(model, i, head.n_classes - 1u)[0];
    }
    for (uint32_t i = 0; i < model->n_selftests; i++) {
        smcu_selftest_t test;
        smcu_model_selftest(model, i, &test);
        sum += test.pcm[2 * test.n_samples - 1u];
        if (test.n_decisions > 0) {
            sum += test.logits[4u * test.n_decisions * model->n_logits - 1u];
        }
    }
    (void)sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > MOST_BYTES) {
        return 0;
    }
    uint8_t *copy = exactly(size);
    for (size_t i = 0; i < size; i++) {
        copy[i] = data[i];
    }
    if (size >= CRC_FROM) {
        put_u32(copy + 8, (uint32_t)size);
        put_u32(copy + CRC_AT, smcu_frame_crc32(0, copy + CRC_FROM, size - CRC_FROM));
    }
    smcu_model_t model;
    if (smcu_model_open(&model, copy, size) == SMCU_OK) {
        read_all(&model);
        if (work_of(&model) <= MOST_WORK) {
            run_network(&model);
            run_stream(&model);
        }
    }
    free(copy);
    return 0;
}

#ifdef FUZZ_MAIN
int main(int argc, char **argv)
{
    static uint8_t data[MOST_BYTES];
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (file == NULL) {
            return 2;
        }
        const size_t size = fread(data, 1, sizeof data, file);
        (void)fclose(file);
        (void)LLVMFuzzerTestOneInput(data, size);
    }
    return 0;
}
#endif

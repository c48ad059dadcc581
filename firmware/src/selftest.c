#include "selftest.h"

#include <stdbool.h>

#include "bytes.h"
#include "port.h"

#define CHUNK_SAMPLES 160u

typedef struct {
    smcu_stream_t *stream;
    const uint8_t *expected; /* logits to come, i32 little-endian */
    uint32_t decisions_left;
    bool equal;
} check_t;

static void compare(check_t *check, const smcu_result_t *result)
{
    if (check->decisions_left == 0u) {
        check->equal = false;
        return;
    }
    check->decisions_left--;
    for (uint32_t i = 0; i < check->stream->net.model->n_logits; i++) {
        check->equal = check->equal && result->logits[i] == smcu_bytes_i32(check->expected);
        check->expected += 4;
    }
}

/* Plays n samples from little-endian bytes, or zeros where `bytes` is NULL. */
static void play(check_t *check, const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        int16_t pcm[CHUNK_SAMPLES] = {0};
        const size_t part = (n < CHUNK_SAMPLES) ? n : CHUNK_SAMPLES;

        smcu_port_alive();
        for (size_t i = 0; bytes != NULL && i < part; i++) {
            pcm[i] = (int16_t)smcu_bytes_u16(bytes + 2u * i);
        }
        for (size_t taken = 0; taken < part;) {
            smcu_result_t result;

            taken += smcu_stream_push(check->stream, pcm + taken, part - taken, &result);
            if (result.decided) {
                compare(check, &result);
            }
        }
        bytes = (bytes == NULL) ? NULL : bytes + 2u * part;
        n -= part;
    }
}

smcu_selftest_result_t smcu_selftest_run(smcu_stream_t *stream)
{
    const smcu_model_t *model = stream->net.model;
    smcu_selftest_result_t result = {.vectors = model->n_selftests, .first_bad = 0xffffu};

    for (uint32_t i = 0; i < model->n_selftests; i++) {
        smcu_selftest_t test;

        smcu_model_selftest(model, i, &test);
        check_t check = {stream, test.logits, test.n_decisions, true};
        smcu_stream_reset(stream);
        play(&check, test.pcm, test.n_samples);
        play(&check, NULL, smcu_stream_flush_samples(stream));
        if (check.equal && check.decisions_left == 0u) {
            result.passed++;
        } else if (result.first_bad == 0xffffu) {
            result.first_bad = i;
        }
    }
    smcu_stream_reset(stream);
    return result;
}

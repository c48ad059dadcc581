/* The runtime under qemu-system-xtensa, machine `sim`: Xtensa ISA, not ESP32.
 *
 * stdin: bytes of the model, int32 little-endian, the model; number of samples, int32, int16 samples.
 * stdout: records of a tag byte and data: 'F' 40 int8 features, 'L' one decision's int32 logits,
 * 'S' the status of the first call that failed, 'E' the end. */
#include <stdint.h>

#include "stream.h"

#define MODEL_BYTES 200000
#define SAMPLES 200000
#define ARENA_BYTES 100000

/* The simulator's semihosting: function in a2 (1 exit, 3 read, 4 write), arguments in a3 to a5. */
static int simcall(int function, int a, const void *b, int c)
{
    register int a2 __asm__("a2") = function;
    register int a3 __asm__("a3") = a;
    register const void *a4 __asm__("a4") = b;
    register int a5 __asm__("a5") = c;

    __asm__ volatile("simcall" : "+r"(a2), "+r"(a3) : "r"(a4), "r"(a5) : "memory");
    return a2;
}

static void take(void *to, int n)
{
    for (uint8_t *p = to; n > 0;) {
        const int got = simcall(3, 0, p, n);
        if (got <= 0) {
            (void)simcall(1, 1, 0, 0);
        }
        p += got;
        n -= got;
    }
}

static void give(char tag, const void *data, int n)
{
    (void)simcall(4, 1, &tag, 1);
    (void)simcall(4, 1, data, n);
}

static void features(void *context, const int8_t row[SMCU_FRONTEND_BINS])
{
    (void)context;
    give('F', row, SMCU_FRONTEND_BINS);
}

static void need(smcu_status_t status)
{
    if (status != SMCU_OK) {
        const int32_t code = (int32_t)status;

        give('S', &code, 4);
        (void)simcall(1, 1, 0, 0);
    }
}

static smcu_stream_t stream;

static void play(const int16_t *pcm, size_t n)
{
    while (n > 0) {
        smcu_result_t result;
        const size_t taken = smcu_stream_push(&stream, pcm, n, &result);

        pcm += taken;
        n -= taken;
        if (result.decided) {
            give('L', result.logits, (int)(4u * stream.net.model->n_logits));
        }
    }
}

int main(void)
{
    static uint32_t blob[MODEL_BYTES / 4], arena[ARENA_BYTES / 4];
    static int16_t pcm[SAMPLES];
    static smcu_model_t model;
    const smcu_hooks_t hooks = {.features = features};
    int32_t n = 0;

    take(&n, 4);
    take(blob, n);
    need(smcu_model_open(&model, blob, (size_t)n));
    need(smcu_stream_init(&stream, &model, arena, sizeof(arena), &hooks));
    take(&n, 4);
    take(pcm, 2 * n);
    play(pcm, (size_t)n);
    static const int16_t silence[160];
    for (size_t left = smcu_stream_flush_samples(&stream); left > 0;) {
        const size_t part = (left < 160u) ? left : 160u;
        play(silence, part);
        left -= part;
    }
    give('E', &n, 0);
    (void)simcall(1, 0, 0, 0);
    return 0;
}

/* The core starts at its reset vector, with no stack. */
__asm__(".section .text.start,\"ax\"\n"
        ".global _start\n"
        ".align 4\n"
        "_start: j 2f\n"
        ".align 4\n"
        ".literal_position\n"
        "2: movi a1, stack_top\n"
        "movi a0, main\n"
        "callx0 a0\n"
        "1: j 1b\n"
        ".text\n");

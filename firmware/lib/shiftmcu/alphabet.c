#include "alphabet.h"

static const smcu_alphabet_t alphabets[SMCU_ALPHABET_COUNT] = {
    {2, 1, 2, {0, 1}},
    {2, 2, 0, {1, 2}},
    {3, 4, 4, {0, 1, 2, 4}},
    {3, 8, 0, {1, 2, 4, 8}},
    {4, 64, 8, {0, 1, 2, 4, 8, 16, 32, 64}},
    {4, 128, 0, {1, 2, 4, 8, 16, 32, 64, 128}},
    {8, 127, 128, {0}},
    {2, 4, 0, {1, 4}},
    {3, 16, 0, {1, 4, 8, 16}},
};

const smcu_alphabet_t *smcu_alphabet_get(uint32_t id)
{
    return &alphabets[id];
}

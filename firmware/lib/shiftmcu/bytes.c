#include "bytes.h"

uint32_t smcu_bytes_u32(const uint8_t *p)
{
    return smcu_bytes_inline_u32(p);
}

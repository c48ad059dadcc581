#include "status.h"

#include <stddef.h>

static const char *const names[] = {
    [SMCU_OK] = "ok",
    [-SMCU_ERR_TRUNCATED] = "model.truncated",
    [-SMCU_ERR_MAGIC] = "model.magic",
    [-SMCU_ERR_ABI] = "model.abi",
    [-SMCU_ERR_CRC] = "model.crc",
    [-SMCU_ERR_BOUNDS] = "model.bounds",
    [-SMCU_ERR_LAYOUT] = "model.layout",
    [-SMCU_ERR_LIMIT] = "model.limit",
    [-SMCU_ERR_OP] = "model.op",
    [-SMCU_ERR_UNSUPPORTED] = "model.unsupported",
    [-SMCU_ERR_ALPHABET] = "model.alphabet",
    [-SMCU_ERR_CODE] = "model.code",
    [-SMCU_ERR_GRAPH] = "model.graph",
    [-SMCU_ERR_SHAPE] = "model.shape",
    [-SMCU_ERR_PARAMETER] = "model.parameter",
    [-SMCU_ERR_OVERFLOW] = "model.overflow",
    [-SMCU_ERR_HEADS] = "model.heads",
    [-SMCU_ERR_TUPLE] = "model.tuple",
    [-SMCU_ERR_SELFTEST] = "model.selftest",
    [-SMCU_ERR_STRING] = "model.string",
    [-SMCU_ERR_FRONTEND] = "model.frontend",
    [-SMCU_ERR_ARENA] = "net.arena",
};

const char *smcu_status_name(smcu_status_t status)
{
    const size_t index = (size_t)-(int)status;
    return index < sizeof names / sizeof names[0] ? names[index] : "unknown";
}

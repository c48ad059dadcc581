/* What a function says when it cannot do its work. Python uses the same names (model.crc, ...). */
#ifndef SMCU_STATUS_H
#define SMCU_STATUS_H

typedef enum {
    SMCU_OK = 0,
    SMCU_ERR_TRUNCATED = -1,   /* fewer or more bytes than the header says */
    SMCU_ERR_MAGIC = -2,       /* does not start with SHFT */
    SMCU_ERR_ABI = -3,         /* a format version that this runtime does not read */
    SMCU_ERR_CRC = -4,         /* CRC-32 is wrong: the bytes are damaged */
    SMCU_ERR_BOUNDS = -5,      /* a section ends outside the file */
    SMCU_ERR_LAYOUT = -6,      /* a section is not where it belongs, or a gap is not zero */
    SMCU_ERR_LIMIT = -7,       /* a count or size beyond the limits of model.h */
    SMCU_ERR_OP = -8,          /* an unknown operation */
    SMCU_ERR_UNSUPPORTED = -9, /* a reserved field (groups) is used */
    SMCU_ERR_ALPHABET = -10,   /* an unknown weight alphabet */
    SMCU_ERR_CODE = -11,       /* an invalid weight code, or padding bits that are not zero */
    SMCU_ERR_GRAPH = -12,      /* a layer reads a later tensor, or logits; not exactly one pool */
    SMCU_ERR_SHAPE = -13,      /* channels or positions of two layers do not fit together */
    SMCU_ERR_PARAMETER = -14,  /* a multiplier or shift is out of range */
    SMCU_ERR_OVERFLOW = -15,   /* the sums of a channel could leave 32 bits */
    SMCU_ERR_HEADS = -16,      /* heads and logits layers do not match; no command head */
    SMCU_ERR_TUPLE = -17,      /* a tuple names a class that does not exist */
    SMCU_ERR_SELFTEST = -18,   /* a self-test vector has the wrong number of decisions */
    SMCU_ERR_STRING = -19,     /* a name is empty, too long, not UTF-8 or has control bytes */
    SMCU_ERR_FRONTEND = -20,   /* the model was made for other features */
    SMCU_ERR_ARENA = -21       /* the arena is too small or not aligned to 4 bytes */
} smcu_status_t;

/* "ok", "model.crc", ...; never NULL. */
const char *smcu_status_name(smcu_status_t status);

#endif

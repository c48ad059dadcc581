"""C files that carry a model: ``model.c`` and ``model.h``, the very bytes of the ``.shift`` file.

Deterministic: no time, no path; the same model and tool version give the same text everywhere. The
blob is emitted as 32-bit words, so it is aligned; words are little-endian, as every target is.
"""

from __future__ import annotations

import struct

from shiftmcu import __version__
from shiftmcu.blob import QuantGraph, sha256_of, write
from shiftmcu.convert.plan import plan
from shiftmcu.convert.report import text_table

WORDS_PER_LINE = 8


def emit(graph: QuantGraph) -> dict[str, str]:
    """``{"model.c": text, "model.h": text}``; the caller writes them."""
    blob = write(graph)
    origin = _origin(graph, blob)
    return {"model.c": origin + _source(blob), "model.h": origin + _header(graph, blob)}


def _origin(graph: QuantGraph, blob: bytes) -> str:
    """The comment that says where the file comes from."""
    lines = [
        f"Model '{graph.name}', written by shiftmcu {__version__}; do not edit, convert again.",
        f"sha256 {sha256_of(blob)}, frontend {graph.frontend_id:08x}, {len(blob)} bytes",
        "",
        *text_table(plan(graph)).splitlines(),
    ]
    # A layer name must not end the comment.
    body = "\n".join(f" * {line}".rstrip() for line in lines).replace("*/", "* /")
    return "/*\n" + body + "\n */\n"


def _source(blob: bytes) -> str:
    words = struct.unpack(f"<{len(blob) // 4}I", blob)
    lines = [
        "    " + " ".join(f"0x{word:08x}u," for word in words[i : i + WORDS_PER_LINE])
        for i in range(0, len(words), WORDS_PER_LINE)
    ]
    body = "\n".join(lines)
    return (
        '#include "model.h"\n\n'
        "const uint32_t smcu_model_blob[SMCU_MODEL_BYTES / 4u] = {\n"
        f"{body}\n"
        "};\n"
    )


def _header(graph: QuantGraph, blob: bytes) -> str:
    name = graph.name.encode("ascii", "replace").decode().replace("\\", "?").replace('"', "'")
    return f"""#ifndef SMCU_MODEL_DATA_H
#define SMCU_MODEL_DATA_H

#include <stdint.h>

#define SMCU_MODEL_NAME "{name}"
#define SMCU_MODEL_SHA256 "{sha256_of(blob)}"
#define SMCU_MODEL_FRONTEND_ID 0x{graph.frontend_id:08x}u
#define SMCU_MODEL_BYTES {len(blob)}u
#define SMCU_MODEL_ARENA_BYTES {plan(graph).arena_bytes}u

/* The .shift file, for smcu_model_open(model, smcu_model_blob, SMCU_MODEL_BYTES). */
extern const uint32_t smcu_model_blob[SMCU_MODEL_BYTES / 4u];

#endif
"""

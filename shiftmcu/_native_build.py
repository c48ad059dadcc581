"""Builds ``shiftmcu._native``: the C runtime of firmware/lib/shiftmcu, through cffi in API mode.

setup.py names ``ffibuilder``; the list of sources is the one of library.json. Paths are relative to
the folder of setup.py and the flags name no machine, so two builds of one tree are alike.
"""

from __future__ import annotations

import json
from pathlib import Path

from cffi import FFI  # type: ignore[import-untyped]

RUNTIME = Path("firmware") / "lib" / "shiftmcu"
ROOT = Path(__file__).resolve().parent.parent

DECLARATIONS = """
#define SMCU_MODEL_MAX_SLOTS ...
#define SMCU_FRONTEND_ID ...
#define SMCU_FRAME_ENCODED_MAX ...

typedef int smcu_status_t;
const char *smcu_status_name(smcu_status_t status);

typedef struct { uint16_t n_layers; uint16_t n_logits; uint16_t bins; uint16_t total_stride;
                 uint32_t hop_frames; ...; } smcu_model_t;
smcu_status_t smcu_model_open(smcu_model_t *model, const void *blob, size_t n_bytes);

void smcu_frontend_frame(const int16_t *samples, uint32_t *scratch, int8_t *features);
typedef struct { ...; } smcu_frontend_t;

typedef struct { ...; } smcu_net_t;
size_t smcu_net_arena_bytes(const smcu_model_t *model);
smcu_status_t smcu_net_init(smcu_net_t *net, const smcu_model_t *model, void *arena,
                            size_t arena_bytes);
int8_t *smcu_net_input(smcu_net_t *net);
const int32_t *smcu_net_run(smcu_net_t *net);
const uint8_t *smcu_net_tensor(const smcu_net_t *net, uint32_t tensor, uint32_t *rows,
                               uint32_t *values);

typedef struct { uint8_t n_slots; uint8_t classes[...]; uint16_t score; uint16_t margin;
                 ...; } smcu_intent_t;
typedef struct { ...; } smcu_intent_state_t;
void smcu_intent_init(smcu_intent_state_t *state, const smcu_model_t *model, int32_t *smooth);
bool smcu_intent_next(smcu_intent_state_t *state, const int32_t *logits, smcu_intent_t *best);
extern const uint16_t smcu_intent_exp2[256];

typedef struct { bool decided; bool has_event; uint32_t decision; uint64_t end_sample;
                 const int32_t *logits; smcu_intent_t intent; ...; } smcu_result_t;
typedef struct { smcu_net_t net; ...; } smcu_stream_t;
typedef struct { ...; } smcu_hooks_t;
size_t smcu_stream_arena_bytes(const smcu_model_t *model);
smcu_status_t smcu_stream_init(smcu_stream_t *stream, const smcu_model_t *model, void *arena,
                               size_t arena_bytes, const smcu_hooks_t *hooks);
void smcu_stream_reset(smcu_stream_t *stream);
size_t smcu_stream_push(smcu_stream_t *stream, const int16_t *pcm, size_t n_samples,
                        smcu_result_t *result);
size_t smcu_stream_flush_samples(const smcu_stream_t *stream);

uint32_t smcu_activity_hold(const smcu_model_t *model);
"""

INCLUDES = (
    '#include "activity.h"\n#include "stream.h"\n#include "frame.h"\n#include "frontend_tables.h"\n'
)


def sources() -> list[str]:
    """The C files of the runtime, relative to the folder of setup.py."""
    filters = json.loads((ROOT / RUNTIME / "library.json").read_text())["build"]["srcFilter"]
    names = [entry[2:-1] for entry in filters if entry.startswith("+<")]
    return [(RUNTIME / name).as_posix() for name in names]


ffibuilder = FFI()
ffibuilder.cdef(DECLARATIONS)
ffibuilder.set_source(
    "shiftmcu._native",
    INCLUDES,
    sources=sources(),
    include_dirs=[RUNTIME.as_posix()],
    extra_compile_args=["-O2", "-g0", "-Wall", "-Wextra"],
)

"""The table of the decision logic as C: ``python -m shiftmcu.intent_tables FILE``.

The numbers are ``fixedpoint.E2TAB`` (docs/numerics.md §3).
"""

from __future__ import annotations

import sys
from pathlib import Path

from shiftmcu.files import write_text
from shiftmcu.fixedpoint import E2TAB, OCTAVE

__all__ = ["emit_c"]


def emit_c() -> str:
    """The text of firmware/lib/shiftmcu/intent_tables.c; the same on every machine."""
    values = [int(value) for value in E2TAB]
    rows = [", ".join(map(str, values[i : i + 12])) for i in range(0, OCTAVE, 12)]
    body = ",\n".join(f"    {row}" for row in rows)
    return (
        "/* Written by `python -m shiftmcu.intent_tables FILE`; "
        "the numbers are fixedpoint.E2TAB. */\n"
        '#include "intent.h"\n\n'
        "/* round(32768 2^(-i / 256)), Q15. */\n"
        f"const uint16_t smcu_intent_exp2[{OCTAVE}] = {{\n{body},\n}};\n"
    )


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), emit_c())

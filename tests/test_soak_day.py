"""The day of audio: short, and that what grows is seen."""

from __future__ import annotations

import sys
from pathlib import Path

from host_rig import needs_cc

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import soak
import soak_day
from soak_day import Use, Watch


@needs_cc
def test_a_short_day_has_no_deviation() -> None:
    table = dict(soak_day.run(0.01, "fsc-tiny", seed=1))
    assert table["deviations"] == "0"
    assert int(table["decisions compared"]) >= 36 * 16000 // 2560 - 1


def test_growth_is_seen() -> None:
    first = Use(50 << 20, 9)
    for last, words in (
        (Use((50 << 20) + soak.GROWTH_BYTES, 9), []),
        (Use((51 << 20) + soak.GROWTH_BYTES, 9), ["board grew by 17 MiB"]),
        (Use(50 << 20, 10), ["board has 10 handles and had 9"]),
    ):
        watch = Watch({}, [{"host": first, "board": first}, {"host": first, "board": last}])
        assert watch.growth() == words


def test_a_handle_more_is_counted() -> None:
    before = Use.of("self")
    with Path(__file__).open():
        assert Use.of("self").handles == before.handles + 1
    assert before.resident_bytes > 1 << 20

"""Energy windows by the host's clock: the board's clock from PINGs, and what is left uncertain."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from host_rig import arguments, needs_cc, write_model
from numpy.typing import NDArray
from test_energy import SCHEMAS, WAVE, rows_of

from shiftmcu.clocks import Reading, reading_of, time_between
from shiftmcu.convert.emit import emit
from shiftmcu.errors import UsageError
from shiftmcu.host import energy, energy_host
from shiftmcu.host.energy_figures import Repeat
from shiftmcu.host.energy_host import Window, read_until, repeats_by_time
from shiftmcu.host.energy_trace import Trace
from shiftmcu.host.fake_load import Load
from shiftmcu.host.fake_wires import Wires

RATE_HZ = 2000.0
IDLE_A, BUSY_A, VOLTS = 0.010, 0.050, 3.3


@pytest.mark.parametrize("seed", range(20))
def test_the_bounds_of_a_reading_hold(seed: int) -> None:
    """Delays of any kind on both ways: the truth is within the error that is told."""
    rng = np.random.default_rng(seed)
    offset_us, now, answers = int(rng.integers(1 << 32)), 1000.0, []
    for _ in range(16):
        up, down = rng.exponential(0.002, 2) + 0.0003
        shown = (int((now + up) * 1e6) + offset_us) & 0xFFFFFFFF
        answers.append((now, shown, now + up + down))
        now += up + down + 0.001
    at = reading_of(answers)
    truth = ((at.theirs_us - offset_us) & 0xFFFFFFFF) / 1e6
    assert abs(at.ours_s - truth) <= at.error_s
    assert at.error_s < 0.002


def test_times_between_two_readings() -> None:
    before, after = Reading(100.0, 0xFFFFFF00, 1e-3), Reading(110.001, 9_999_744, 2e-3)
    assert time_between(before, after, 0xFFFFFF00) == 100.0
    assert time_between(before, after, 4_999_744) == pytest.approx(105.0005)
    assert time_between(before, after, 9_999_744) == pytest.approx(110.001)


def recording(shift_s: float = 0.0, *, seconds: float = 3.0) -> Trace:
    """Idle, busy from 1 s to 2 s, idle; from Unix time 1000 on, its stamps off by ``shift_s``."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    amps = np.where((t >= 1.0) & (t < 2.0), BUSY_A, IDLE_A)
    none = np.zeros(len(t), np.bool_)
    full = np.full(len(t), VOLTS)
    return Trace(RATE_HZ, amps, full, none, none, begin_s=1000.0 + shift_s)


def one(shift_s: float, clock_error_s: float, error_s: float = 0.001) -> Repeat:
    window = Window(1000.1, 1001.0, 1002.0, 100, error_s)
    (repeat,) = repeats_by_time(recording(shift_s), [window], clock_error_s, None)
    return repeat


@pytest.mark.parametrize("shift_ms", [-9.0, -3.0, 0.0, 3.0, 9.0])
def test_the_error_that_is_told_holds_the_truth(shift_ms: float) -> None:
    repeat = one(shift_ms / 1000, 0.010)
    truth = (BUSY_A - IDLE_A) * VOLTS * 1.0 / 100
    assert not repeat.issues
    assert abs(repeat.net_j - truth) <= repeat.align_error_j / 100
    # 11.25 ms of 40 mA at 3.3 V at either end, and no more than one sample beside
    assert repeat.align_error_j == pytest.approx(2 * 0.01125 * 0.132, rel=0.1)
    assert repeat.align_error_s == pytest.approx(0.01125)


def test_what_cannot_be_aligned_is_named() -> None:
    assert {code for code, _ in one(0.0, 0.05).issues} == {"energy.alignment"}
    late = Window(1000.1, 1001.0, 1002.9995, 100, 0.001)
    early = Window(999.9, 1001.0, 1002.0, 100, 0.001)
    for window in (late, early):
        (repeat,) = repeats_by_time(recording(), [window], 0.0, None)
        assert {code for code, _ in repeat.issues} == {"energy.lost_samples"}


def test_a_recording_that_ends_early_is_waited_for_and_then_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy_host, "_POLL_S", 0.01)
    path = tmp_path / "log.csv"
    with pytest.raises(UsageError) as caught:
        read_until(path, 5.0, patience_s=0.05)
    assert caught.value.code == "energy.csv"
    write(path, np.arange(100) / 10.0, np.full(100, 0.01))
    assert read_until(path, 5.0, patience_s=0.0).rate_hz == pytest.approx(10.0)
    assert len(read_until(path, 50.0, patience_s=0.05).current_a) == 100


def write(path: Path, t_s: NDArray[np.float64], amps: NDArray[np.float64]) -> None:
    table = np.column_stack([t_s, amps, np.full(len(t_s), VOLTS)])
    text = "\n".join(",".join(f"{value:.9f}" for value in row) for row in table)
    path.with_suffix(".part").write_text(f"t_s,current_a,voltage_v\n{text}\n")
    path.with_suffix(".part").rename(path)


class Recorder(threading.Thread):
    """What records beside the tool: it writes the load's current, stamped with this PC's time,
    once ``windows`` of them are over."""

    def __init__(self, load: Load, path: Path, windows: int, off_s: float) -> None:
        super().__init__(daemon=True)
        self._load, self._path, self._windows, self._off_s = load, path, windows, off_s
        self._begin_s = time.monotonic()
        self._unix_s = time.time() - time.monotonic()

    def run(self) -> None:
        while len(self._load.edges) < 2 * self._windows:
            time.sleep(0.01)
        end_s = self._load.edges[-1] + 0.2
        starts = np.arange(self._begin_s, end_s, 1 / RATE_HZ)
        amps = self._load.charge_c(starts, starts + 1 / RATE_HZ) * RATE_HZ
        write(self._path, starts + self._unix_s + self._off_s, amps)


@needs_cc
def test_a_recording_without_a_gate_end_to_end(tmp_path: Path) -> None:
    """The clock of the board ``native`` is this PC's, so the load's edges are known exactly."""
    load, path = Load(IDLE_A, WAVE, VOLTS), tmp_path / "log.csv"
    with Wires(None, load) as wires:
        Recorder(load, path, 2, off_s=0.004).start()
        words = ("--meter", f"csv:{path}", "--align", "host", "--clock-error", 0.005)
        words += ("--wires", wires.port, "--seconds", 1.0, "--repeats", 2)
        where = ("--model", write_model(tmp_path), "--out", tmp_path / "run")
        document = energy.run(arguments(energy, *words, *where, as_json=True), emit=emit)
    rows = rows_of(tmp_path / "run")
    assert {row["alignment"] for row in rows} == {document["alignment"]} == {"host clock"}
    schema = json.loads((SCHEMAS / "energy.schema.json").read_text())
    jsonschema.validate(json.loads((tmp_path / "run" / "energy.json").read_text()), schema)
    row_schema = json.loads((SCHEMAS / "energy-row.schema.json").read_text())
    for window, row in zip(load.windows(), rows, strict=True):
        jsonschema.validate(row, row_schema)
        truth_uj = 1e6 * load.energy_above_idle_j(window) / int(row["inferences"])
        assert abs(float(row["net_uj"]) - truth_uj) <= document["alignment_uncertainty_uj"]
        assert 5.0 <= float(row["align_error_ms"]) < 25.0
    assert document["uncertainty_uj"] is None, "of the meter itself nothing is known"
    assert "host clock (+-" in energy.line(document)

"""Recorded currents: windows at the gate, what spoils them, PPK2, Joulescope and files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from host_rig import arguments
from test_energy import rows_of

from shiftmcu.convert.emit import emit
from shiftmcu.errors import ToolMissing, UsageError
from shiftmcu.host import energy, meter_joulescope, meter_ppk2
from shiftmcu.host.energy_csv import read_csv
from shiftmcu.host.energy_error import METERS, Shunt, error_of, meter_of
from shiftmcu.host.energy_figures import Expected, Repeat, doubts, spread_of
from shiftmcu.host.energy_files import document_of
from shiftmcu.host.energy_trace import Trace, repeats_of
from shiftmcu.host.energy_windows import Outcome
from shiftmcu.host.fake_ppk2 import AMPS_PER_STEP, FakePpk2, samples
from shiftmcu.host.meter_ppk2 import Ppk2, decode
from shiftmcu.host.report import html_of
from shiftmcu.host.run_data import read
from shiftmcu.host.run_folder import RunDegraded

SCHEMAS = Path(energy.__file__).parent / "schemas"


def trace(
    windows: int = 2, *, rate_hz: float = 10_000.0, idle: float = 0.01, busy: float = 0.05
) -> Trace:
    """``windows`` of 0.1 s, each behind 0.1 s of idling, at 3.3 V."""
    gate = np.tile(np.repeat([False, True], round(0.1 * rate_hz)), windows)
    gate = np.append(gate, np.zeros(100, np.bool_))
    current = np.where(gate, busy, idle)
    silent = np.zeros(len(gate), np.bool_)
    return Trace(rate_hz, current, np.full(len(gate), 3.3), gate, silent)


def codes(repeats: list[Repeat]) -> set[str]:
    return {code for repeat in repeats for code, _ in repeat.issues}


def test_windows_are_found_at_the_gate() -> None:
    repeats = repeats_of(trace(), [10, 20], 0.1, None)
    assert [r.net_j for r in repeats] == pytest.approx([0.1 * 0.04 * 3.3 / n for n in (10, 20)])
    assert not codes(repeats)
    assert codes(repeats_of(trace(), [10, 20], 0.1, None, [0.1, 0.1])) == set()
    assert codes(repeats_of(trace(), [10, 20], 0.1, None, [0.1, 0.2])) == {"energy.lost_samples"}


@pytest.mark.parametrize("missing", ["rise", "fall", "window", "start"])
def test_a_missing_gate_edge_is_named(missing: str) -> None:
    made = trace()
    gate = made.gate.copy()
    edges = np.flatnonzero(np.diff(gate.astype(int)))
    if missing == "rise":
        gate[: edges[1] + 1] = True
    elif missing == "fall":
        gate[edges[2] + 1 :] = True
    elif missing == "window":
        gate[edges[0] : edges[1] + 1] = False
    else:
        gate[:5] = True
    spoilt = Trace(made.rate_hz, made.current_a, made.voltage_v, gate, made.saturated)
    repeats = repeats_of(spoilt, [10, 10], 0.1, None)
    assert codes(repeats) == {"energy.gate_edge"}
    assert spread_of([])["energy_per_inference_uj"] is None


def test_doubtful_currents_are_named() -> None:
    assert codes(repeats_of(trace(busy=-0.05), [1, 1], 0.1, None)) == {"energy.reversed"}
    assert codes(repeats_of(trace(busy=0.005), [1, 1], 0.1, None)) == {"energy.below_idle"}
    assert codes(repeats_of(trace(), [1, 1], 0.1, Expected(0.2, 0.5, "x"))) == {"energy.shunt"}
    clipped = trace()
    clipped.saturated[1500] = True
    first, second = repeats_of(clipped, [1, 1], 0.1, None)
    assert codes([first]) == {"energy.saturated"} and not second.issues
    assert doubts(0.05, 0.01, 0.1, Expected(0.01, 0.1, "x")) == []


def test_one_bad_repeat_is_left_out_and_the_rest_counts() -> None:
    good = repeats_of(trace(3), [10, 10, 10], 0.1, None)
    bad = Repeat(**{**vars(good[1]), "energy_j": 9.0, "issues": (("energy.nack", "no"),)})
    made = Outcome("measured", "ina226", "gate edge", [good[0], bad, good[2]])
    figures = document_of(made, METERS["ina226"], Shunt(0.1, 0.01), None)
    assert figures["sound_repeats"] == 2 and figures["repeats"] == 3
    assert figures["energy_per_inference_uj"] == pytest.approx(1e6 * 0.1 * 0.04 * 3.3 / 10)
    # 1.2 % of 1650 uJ with idle, and (10 uV + 1.25 uV) / 0.1 ohm * 3.3 V + (7.5 + 0.625) mV * 50 mA
    # for 10 ms: offsets, and half a step of the ADC
    limit = 0.012 * 1650 + 1.125 * 3.3 + 8.125 * 0.5
    assert figures["uncertainty_uj"] == pytest.approx(limit, rel=1e-6)
    assert "SBOS547B" in figures["uncertainty_is"] and "greatest" in figures["uncertainty_is"]
    assert figures["current_check"].startswith("not checked")


def test_what_a_meter_does_not_state_is_not_stated() -> None:
    good = repeats_of(trace(), [10, 10], 0.1, None)
    for name in ("csv", "joulescope"):
        error = error_of(good, METERS[name], Shunt(0.1, 0.01))
        assert error.whole_j is None and "--meter-error" in error.said
    given = error_of(good, meter_of("csv", "0.003,0.002", "its manual"), Shunt(0.1, 0.5))
    assert given.whole_j == pytest.approx(0.005 * 0.05 * 3.3 * 0.1 / 10)
    assert "its manual" in given.said
    with pytest.raises(UsageError):
        meter_of("csv", "0.003", None)


def write_trace(path: Path, made: Trace, drop: slice = slice(0, 0)) -> None:
    t = np.arange(len(made.gate)) / made.rate_hz
    table = np.column_stack([t, made.current_a, made.voltage_v, made.gate])
    table = np.delete(table, np.arange(len(t))[drop], axis=0)
    np.savetxt(path, table, delimiter=",", header="t_s,current_a,voltage_v,gate", comments="")


def test_recordings_are_read_and_their_gaps_found(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    write_trace(path, trace())
    read = read_csv(path)
    assert read.rate_hz == pytest.approx(10_000) and not read.issues
    assert np.array_equal(read.gate, trace().gate)
    write_trace(path, trace(), slice(500, 520))
    assert codes(repeats_of(read_csv(path), [1, 1], 0.1, None)) == {"energy.lost_samples"}
    for text in ("", "a,b\n1,2\n", "t_s,current_a,voltage_v,gate\n0,1,2,x\n"):
        path.write_text(text)
        with pytest.raises(UsageError) as caught:
            read_csv(path)
        assert caught.value.code == "energy.csv"


def test_a_recording_needs_no_board_and_says_that_none_is_known(tmp_path: Path) -> None:
    path, folder = tmp_path / "trace.csv", tmp_path / "run"
    write_trace(path, trace(3))
    words = ("--meter", f"csv:{path}", "--repeats", 3, "--seconds", 0.1, "--out", folder)
    with pytest.raises(RunDegraded) as caught:
        energy.run(arguments(energy, *words, as_json=True), emit=emit)
    document = caught.value.as_json()
    assert document["error"]["code"] == "run.no_board"
    assert document["energy_per_inference_uj"] == pytest.approx(1e6 * 0.1 * 0.04 * 3.3 / 10)
    assert document["spread_uj"] == pytest.approx(0, abs=1e-6)
    assert {row["alignment"] for row in rows_of(folder)} == {"gate edge"}
    with (folder / "energy_trace.csv").open(newline="") as file:
        stretches = list(csv.DictReader(file))
    schema = json.loads((SCHEMAS / "energy-trace-row.schema.json").read_text())
    for row in stretches:
        jsonschema.validate(row, schema)
    busy = [row for row in stretches if row["gate"] == "1"]
    assert {row["repeat"] for row in stretches} == {"0", "1", "2"}
    assert {float(row["mean_ma"]) for row in busy} == {50.0} and float(busy[0]["t_s"]) == 0
    assert len(stretches) <= 3 * 602
    page = html_of(read(folder))
    assert "Current of repeat" in page and "band" in page


def test_the_ppk2_through_its_own_package() -> None:
    api = pytest.importorskip("ppk2_api.ppk2_api", reason="pip install shiftmcu[energy]")
    made = trace(1, rate_hz=100_000.0)
    stream = samples(made.current_a, made.gate)
    with FakePpk2(stream) as fake:
        meter = Ppk2(fake.port, volts=3.3, source=True, gate=0)
        try:
            meter.start()
            assert fake.sent.wait(60)
            while len(meter._data) < len(stream):
                assert meter._thread.is_alive()
            read = meter.stop()
        finally:
            meter.close()
        assert fake.commands[:2] == [0x19, 0x11] and 0x06 in fake.commands
    assert not read.issues and np.array_equal(read.gate, made.gate)
    assert read.current_a == pytest.approx(made.current_a, abs=AMPS_PER_STEP)
    (repeat,) = repeats_of(read, [10], 0.1, None)
    # 50 mA is range 3 of this instrument: 10 % and 50 uA, added up over the window of 0.1 s
    assert repeat.error_j == pytest.approx((0.1 * 0.05 + 50e-6) * 3.3 * 0.1, rel=0.01)
    error = error_of([repeat], METERS["ppk2"], Shunt(0.1, 0.01))
    assert error.whole_j == pytest.approx((repeat.error_j or 0) / 10)
    assert "typical" in error.said and "PPK2 User Guide" in error.said
    assert repeat.net_j == pytest.approx(0.1 * 0.04 * 3.3 / 10, rel=0.002)
    # The package's own decoding agrees, where no range switch starts its filter.
    theirs = object.__new__(api.PPK2_API)
    theirs.__dict__ |= {"remainder": {"sequence": b"", "len": 0}, "adc_mult": 1.8 / 163840}
    theirs.__dict__ |= {"modifiers": meter._ppk.modifiers, "current_vdd": 3300, "ser": None}
    theirs.__dict__ |= {name: vars(meter._ppk)[name] for name in ("MEAS_ADC", "MEAS_RANGE")}
    theirs.__dict__ |= {"MEAS_LOGIC": meter._ppk.MEAS_LOGIC, "rolling_avg": None}
    theirs.__dict__ |= {"rolling_avg4": None, "prev_range": None, "after_spike": 0}
    theirs.__dict__ |= {"spike_filter_alpha": 0.18, "spike_filter_alpha5": 0.06}
    micro, _ = theirs.get_samples(stream[:4000])
    assert np.array(micro) / 1e6 == pytest.approx(read.current_a[:1000], rel=1e-9)


MODIFIERS = {
    "R": dict.fromkeys("01234", "1.0"),
    "UG": dict.fromkeys("01234", "1"),
    "GI": dict.fromkeys("01234", "1"),
    **{key: dict.fromkeys("01234", "0") for key in ("O", "GS", "S", "I")},
}


def test_lost_and_saturated_samples_of_a_ppk2() -> None:
    made = trace(1, rate_hz=100_000.0)
    stream = samples(made.current_a, made.gate, first=60)
    assert not decode(stream, MODIFIERS, 3.3, 0).issues
    holed = stream[:400] + stream[800:]
    found = decode(holed, MODIFIERS, 3.3, 0)
    assert found.issues == [("energy.lost_samples", "the PPK2's counter misses 36 samples")]
    over = decode(samples(np.full(10, 2.0), np.zeros(10, np.bool_)), MODIFIERS, 3.3, 0)
    assert over.saturated.all()
    assert over.error_a is not None and over.current_a[0] > 0.05
    assert over.error_a == pytest.approx(0.15 * over.current_a + 1e-3)


def test_a_joulescope_that_loses_samples_says_so() -> None:
    def streams(gap: int) -> list[meter_joulescope.Stream]:
        made = [meter_joulescope.Stream() for _ in range(3)]
        for stream, value in zip(made, (0.05, 3.3, 1), strict=True):
            for at in (1000, 1100 + gap):
                data = np.full(100, value, np.float32)
                block = {"sample_id": 2 * at, "decimate_factor": 2, "sample_rate": 2_000_000}
                stream.take({**block, "data": data})
        return made

    whole = meter_joulescope.trace_of(*streams(0))
    assert whole.rate_hz == 1_000_000 and not whole.issues and len(whole.gate) == 200
    assert whole.gate.all() and whole.voltage_v == pytest.approx(3.3)
    assert "lost 30 samples" in meter_joulescope.trace_of(*streams(10)).issues[0][1]
    empty = [meter_joulescope.Stream() for _ in range(3)]
    assert meter_joulescope.trace_of(*empty).issues


def test_missing_packages_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ppk2_api.ppk2_api", None)
    monkeypatch.setitem(__import__("sys").modules, "pyjoulescope_driver", None)
    for make in (meter_ppk2._api, meter_joulescope._driver):
        with pytest.raises(ToolMissing) as caught:
            make()
        assert "shiftmcu[energy]" in caught.value.next_step

"""Energy per inference: the board's meter end to end, recorded traces, and what is not averaged."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from host_rig import arguments, needs_cc, write_model

from shiftmcu.convert.emit import emit
from shiftmcu.errors import ToolMissing, UsageError
from shiftmcu.host import energy, meter_joulescope, meter_ppk2
from shiftmcu.host.energy_csv import read_csv
from shiftmcu.host.energy_error import METERS, Shunt, error_of, meter_of
from shiftmcu.host.energy_figures import Expected, Repeat, doubts, spread_of
from shiftmcu.host.energy_files import document_of
from shiftmcu.host.energy_supply import supply_of
from shiftmcu.host.energy_trace import Trace, repeats_of
from shiftmcu.host.energy_windows import Outcome
from shiftmcu.host.fake_ina import PARTS, Fault
from shiftmcu.host.fake_load import Load, Square, Wave
from shiftmcu.host.fake_ppk2 import AMPS_PER_STEP, FakePpk2, samples
from shiftmcu.host.fake_wires import Wires
from shiftmcu.host.meter_ppk2 import Ppk2, decode
from shiftmcu.host.report import html_of
from shiftmcu.host.run_data import read
from shiftmcu.host.run_folder import RunDegraded, manifest_of

SCHEMAS = Path(energy.__file__).parent / "schemas"
WAVE = Square(0.03, 0.08, 0.001)


def measured(
    tmp_path: Path,
    name: str,
    fault: Fault | None = None,
    shunt_ohm: float = 0.1,
    *words: object,
    wave: Wave = WAVE,
) -> tuple[dict[str, Any], Load, Path]:
    """``shiftmcu energy`` on the native board, its pins wired to a simulated part."""
    load = Load(0.010, wave, 3.3)
    folder = tmp_path / "run"
    with Wires(PARTS[name](load, shunt_ohm, fault)) as wires:
        options = ("--meter", name, "--wires", wires.port, "--seconds", 0.3, "--repeats", 2)
        where = ("--model", write_model(tmp_path), "--out", folder)
        args = arguments(energy, *options, *where, *words, as_json=True)
        try:
            return energy.run(args, emit=emit), load, folder
        except RunDegraded as degraded:
            return degraded.as_json(), load, folder


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "energy.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@needs_cc
@pytest.mark.parametrize("name", sorted(PARTS))
def test_energy_per_inference_is_within_half_a_percent(name: str, tmp_path: Path) -> None:
    document, load, folder = measured(tmp_path, name)
    rows = rows_of(folder)
    truth = [
        1e6 * load.energy_above_idle_j(window) / int(row["inferences"])
        for window, row in zip(load.windows(), rows, strict=True)
    ]
    assert [float(row["net_uj"]) for row in rows] == pytest.approx(truth, rel=0.005)
    assert document["energy_per_inference_uj"] == pytest.approx(np.median(truth), rel=0.005)
    assert (document["kind"], document["alignment"]) == ("measured", "device clock")
    assert document["uncertainty_uj"] > 0 and "SBOS" in document["uncertainty_is"] + "SBOS"
    assert all(int(row["inferences"]) >= 10 for row in rows)
    assert manifest_of(folder)["validity"] == "valid"
    schema = json.loads((SCHEMAS / "energy.schema.json").read_text())
    jsonschema.validate(json.loads((folder / "energy.json").read_text()), schema)
    row_schema = json.loads((SCHEMAS / "energy-row.schema.json").read_text())
    for row in rows:
        jsonschema.validate(row, row_schema)


@needs_cc
@pytest.mark.parametrize(
    ("fault", "shunt_ohm", "code"),
    [
        (Fault(nack_after=0), 0.1, "energy.nack"),
        (Fault(), 10.0, "energy.saturated"),
        (Fault(), 0.01, "energy.shunt"),
    ],
)
def test_what_is_wrong_is_named_and_not_averaged(
    fault: Fault, shunt_ohm: float, code: str, tmp_path: Path
) -> None:
    document, _, folder = measured(tmp_path, "ina226", fault, shunt_ohm, "--expect-ma", "20,200")
    assert code in {issue["code"] for issue in document["issues"]}
    assert document["validity"] == "invalid" and document["energy_per_inference_uj"] is None
    assert document["error"]["code"].startswith("energy.")
    assert all(row["net_uj"] == "" and row["issues"] for row in rows_of(folder))
    assert manifest_of(folder)["validity"] == "degraded"


@needs_cc
def test_an_estimate_says_so_everywhere(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ("--estimate", "--seconds", 0.05, "--repeats", 1, "--model", write_model(tmp_path))
    with pytest.raises(UsageError) as caught:
        energy.run(arguments(energy, *words, "--out", tmp_path / "none"), emit=emit)
    assert caught.value.code == "energy.no_figure"
    cited = ("--current-ma", 40, "--cite", "a data sheet", "--out", folder)
    document = energy.run(arguments(energy, *words, *cited, as_json=True), emit=emit)
    (row,) = rows_of(folder)
    assert document["kind"] == row["kind"] == row["meter"] == "estimate"
    assert manifest_of(folder)["source"] == {"energy": "estimate"}
    expected = 0.040 * 3.3 * float(row["window_s"]) / int(row["inferences"])
    assert document["energy_per_inference_uj"] == pytest.approx(1e6 * expected, rel=1e-4)
    assert "(estimate)" in energy.line(document) and document["cited"] == "a data sheet"
    assert document["uncertainty_uj"] is None and "no range" in document["uncertainty_is"]


def own_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The board ``native`` with the supply current of an imagined chip, in ./boards."""
    ours = {"inherits": "native", "firmware": "priced"}
    ours["current"] = {"low_ma": 40, "high_ma": 60, "at_hz": 0, "source": "sheet 7, table 20"}
    (tmp_path / "boards").mkdir()
    board = {"name": "A priced PC", "shiftmcu": ours}
    (tmp_path / "boards" / "priced.json").write_text(json.dumps(board))
    monkeypatch.chdir(tmp_path)


@needs_cc
def test_an_estimate_by_the_figure_of_the_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_board(tmp_path, monkeypatch)
    words = ("--board", "priced", "--estimate", "--seconds", 0.05, "--repeats", 1)
    args = arguments(energy, *words, "--model", write_model(tmp_path), as_json=True)
    document = energy.run(args, emit=emit)
    (row,) = rows_of(Path(document["run"]))
    expected = 0.050 * 3.3 * float(row["window_s"]) / int(row["inferences"])
    assert document["energy_per_inference_uj"] == pytest.approx(1e6 * expected, rel=1e-4)
    assert document["uncertainty_uj"] == pytest.approx(1e6 * expected / 5, rel=1e-4)
    assert (document["kind"], document["cited"]) == ("estimate", "sheet 7, table 20")
    assert row["kind"] == row["meter"] == "estimate"


@needs_cc
@pytest.mark.parametrize("shunt_ohm", [0.01, 1.0])
def test_a_swapped_shunt_is_told_by_what_the_board_can_take(
    shunt_ohm: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times less or more than the 0.1 ohm that the command assumes; nothing was expected."""
    own_board(tmp_path, monkeypatch)
    wave = Square(0.03, 0.08, 0.001) if shunt_ohm < 0.1 else Square(0.03, 0.05, 0.001)
    words = ("--board", "priced", "--shunt", 0.1)
    document, _, folder = measured(tmp_path, "ina228", None, shunt_ohm, *words, wave=wave)
    assert {issue["code"] for issue in document["issues"]} == {"energy.shunt"}
    assert "20 to 170 mA (what sheet 7, table 20 leaves possible)" in document["current_check"]
    assert document["energy_per_inference_uj"] is None
    assert all(row["net_uj"] == "" for row in rows_of(folder))


def test_a_figure_holds_for_its_clock_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boards").mkdir()
    board = {"name": "Slow", "build": {"f_cpu": "84000000L"}}
    text = json.dumps({**board, "shiftmcu": {"inherits": "stm32f405"}})
    (tmp_path / "boards" / "slow.json").write_text(text)
    assert supply_of("stm32f405") is not None and supply_of("slow") is None
    assert supply_of("no such board") is None


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


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--meter", "multimeter"), "energy.meter"),
        (("--meter", "estimate"), "energy.meter"),
        (("--meter", "ina226", "--repeats", 0), "usage"),
        (("--meter", "ina226", "--seconds", 100), "usage"),
        (("--meter", "ina226", "--shunt", 0), "usage"),
        (("--meter", "ina226", "--expect-ma", "7"), "usage"),
        (("--meter", "csv:x", "--meter-error", "a,b"), "usage"),
        (("--meter", "ppk2", "--align", "host", "--clock-error", 0.1), "energy.align"),
        (("--meter", "csv:x", "--align", "host"), "energy.align"),
    ],
)
def test_wrong_arguments(words: tuple[object, ...], code: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        energy.run(arguments(energy, *words, "--out", tmp_path / "run"), emit=emit)
    assert caught.value.code == code
    assert not (tmp_path / "run").exists()

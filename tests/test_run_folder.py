"""Run folders: schemas, replay byte for byte, and every way in which a run can end early."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import soundfile
from host_rig import arguments, model, needs_cc, noise, write_clips, write_model

from shiftmcu import native
from shiftmcu.convert.emit import emit
from shiftmcu.errors import CheckFailed, LinkError, UsageError
from shiftmcu.host import monitor, replay
from shiftmcu.host.code_id import code_id
from shiftmcu.host.device import Device
from shiftmcu.host.fake_device import Behaviour, ChecksumEngine, FakeBoard
from shiftmcu.host.fake_link import FakeDevice, FaultyLine
from shiftmcu.host.link import open_link
from shiftmcu.host.link_log import Kind, LinkLog, LogReader, Record
from shiftmcu.host.manifest import manifest_of
from shiftmcu.host.run_files import DERIVED
from shiftmcu.host.run_folder import RunDegraded, RunFolder

SCHEMAS = Path(monitor.__file__).parent / "schemas"
INFO = {"board": "fake", "tick_unit": "ns", "tick_hz": "1000000000", "slots": "a:x|y"}
INFO |= {"abi": "1", "frontend_id": "deadbeef", "model": "toy", "model_sha256": "ab" * 32}


def check(name: str, document: object) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document)


def check_run(folder: Path, into: Path) -> dict[str, object]:
    """The manifest, after all that is in the folder was checked against its schema."""
    manifest = manifest_of(folder)
    check("manifest", manifest)
    for name in ("summary", "trace") if manifest["finished"] else ():
        check(name, json.loads((folder / f"{name}.json").read_text()))
    into.mkdir()
    try:
        replay.run(arguments(replay, folder, "--out", into))
    except RunDegraded as degraded:
        assert degraded.exit_code == 9
    for line in (into / "events.jsonl").read_text().splitlines():
        check("event", json.loads(line))
    return manifest


def recorded(tmp_path: Path, *words: object) -> Path:
    folder = tmp_path / "run"
    clips = write_clips(tmp_path)
    where = ("--board", "native", "--model", write_model(tmp_path), "--wav", *clips)
    monitor.run(arguments(monitor, *where, "--speed", "0", "--out", folder, *words), emit=emit)
    return folder


@needs_cc
def test_a_run_is_valid_and_replays_byte_for_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded(tmp_path)
    manifest = check_run(folder, tmp_path / "again")
    assert manifest["validity"] == "valid" and not manifest["issues"]
    assert set(manifest["files"]) == {f.name for f in folder.iterdir()} - {
        "manifest.json",
        "report.html",
    }
    for name in DERIVED:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
    assert (folder / "summary.json").read_bytes() == (tmp_path / "again/summary.json").read_bytes()
    played = np.concatenate([soundfile.read(c, dtype="int16")[0] for c in write_clips(tmp_path)])
    np.testing.assert_array_equal(soundfile.read(folder / "audio.wav", dtype="int16")[0], played)
    printed = capsys.readouterr()
    assert " score " in printed.out and "replay: shiftmcu replay" in printed.err


@needs_cc
def test_json_lines_are_the_intents_of_the_pc(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded(tmp_path, "--json")
    *entries, summary = map(json.loads, capsys.readouterr().out.splitlines())
    kept = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert entries == kept
    runtime = native.Model(model().data)
    clips = [soundfile.read(clip, dtype="int16")[0] for clip in write_clips(tmp_path)]
    expected = [(e.decision, e.score) for c in clips for e in runtime.run_clip(c).events]
    found = [(e["decision"], round(e["score"] * 32768)) for e in kept if e["type"] == "intent"]
    assert [d for d, _ in found] == [d for d, _ in expected]
    assert np.allclose([s for _, s in found], [s for _, s in expected], atol=2)
    assert found and summary["intents"] == len(found) and summary["drops"] == 0
    trace = json.loads((folder / "trace.json").read_text())["traceEvents"]
    spans = [e["args"]["ticks"] for e in trace if e["ph"] == "X" and e["name"] == "network"]
    assert sum(spans) == sum(e["network_ticks"] for e in kept if e["type"] == "done")


@needs_cc
def test_changed_files_are_found(tmp_path: Path) -> None:
    folder = recorded(tmp_path)
    with (folder / "events.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(CheckFailed) as caught:
        replay.run(arguments(replay, folder))
    assert caught.value.code == "replay.differs" and "events.jsonl" in caught.value.message
    assert "written by this very code" in caught.value.message
    manifest = manifest_of(folder)
    assert manifest["versions"]["code"] == code_id()
    for code, said in (("0123456789ab", "with code 0123456789ab;"), (None, "before runs named")):
        versions = {k: v for k, v in manifest["versions"].items() if k != "code"}
        versions |= {"code": code} if code else {}
        (folder / "manifest.json").write_text(json.dumps({**manifest, "versions": versions}))
        with pytest.raises(CheckFailed) as other:
            replay.run(arguments(replay, folder))
        assert said in other.value.message and code_id() in other.value.message


@needs_cc
def test_killed_at_random_moments(tmp_path: Path) -> None:
    runs = int(os.environ.get("SHIFTMCU_KILLS", "4"))
    wav, rng = tmp_path / "long.wav", random.Random(5)
    soundfile.write(wav, noise(160_000), 16000)
    options = ("--model", write_model(tmp_path), "--wav", wav, "--speed", "4", "--json")
    held = 0
    for number in range(runs):
        folder = tmp_path / f"run{number}"
        command = (sys.executable, "-m", "shiftmcu.cli", "monitor", *options, "--out", folder)
        process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=-3)
        while not (folder / "manifest.json").exists():
            assert process.poll() is None
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        manifest = check_run(folder, tmp_path / f"again{number}")
        assert manifest["validity"] == "degraded"
        assert [issue["code"] for issue in manifest["issues"]] == ["run.unfinished"]
        for name in DERIVED[:3]:  # the log is written first: it never holds less than they do
            if (folder / name).exists():
                again = (tmp_path / f"again{number}" / name).read_bytes()
                assert again.startswith((folder / name).read_bytes())
        held += (tmp_path / f"again{number}" / "events.jsonl").stat().st_size > 0
    assert held, "no run held anything: this shows nothing"


@needs_cc
def test_an_interrupt_ends_the_stream_in_order(tmp_path: Path) -> None:
    """As a terminal does it: the whole group of processes hears of Ctrl-C."""
    wav, folder = tmp_path / "long.wav", tmp_path / "run"
    soundfile.write(wav, noise(160_000), 16000)
    options = ("--model", write_model(tmp_path), "--wav", wav, "--out", folder)
    command = (sys.executable, "-m", "shiftmcu.cli", "monitor", *options)
    process = subprocess.Popen([*map(str, command)], stdout=-3, stderr=-3, process_group=0)
    while not (folder / "latency.csv").exists() or (folder / "latency.csv").stat().st_size < 200:
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == 0
    assert check_run(folder, tmp_path / "again")["validity"] == "valid"
    entries = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert entries[-1]["type"] == "done" and 0 < entries[-1]["samples"] < 160_000


@needs_cc
def test_a_closed_terminal_ends_the_board_too(tmp_path: Path) -> None:
    wav, folder = tmp_path / "long.wav", tmp_path / "run"
    soundfile.write(wav, noise(1_600_000), 16000)
    options = ("--model", write_model(tmp_path), "--wav", wav, "--out", folder)
    monitor = (sys.executable, "-m", "shiftmcu.cli", "monitor", *options)
    command = ("env", "--default-signal=HUP", *monitor)  # else nohup's SIG_IGN is inherited
    process = subprocess.Popen([*map(str, command)], stdout=-3, stderr=-3)
    while not (folder / "latency.csv").exists() or (folder / "latency.csv").stat().st_size < 200:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGHUP)
    assert process.wait() == 130
    assert manifest_of(folder)["finished"] is not None, "nobody closed the run"


@needs_cc
def test_a_full_disk_leaves_a_degraded_run(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the same failing write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    write_clips(tmp_path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, before[1]))
    clip = tmp_path / "clip2.flac"
    try:
        with FakeDevice(FakeBoard(INFO, window=8192)) as fake, pytest.raises(RunDegraded) as caught:
            words = ("--port", fake.url, "--wav", clip, "--speed", "0", "--out", tmp_path / "run")
            monitor.run(arguments(monitor, *words), emit=emit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.code == "run.disk"
    manifest = check_run(tmp_path / "run", tmp_path / "again")
    assert manifest["validity"] == "degraded"


def test_lost_audio_and_a_vanished_port_degrade(tmp_path: Path) -> None:
    for number, behaviour in enumerate((Behaviour(), Behaviour(vanish_after_samples=4000))):
        folder = RunFolder(tmp_path / f"run{number}", None, {})
        board = FakeBoard(INFO, ChecksumEngine, behaviour=behaviour)
        line = FaultyLine(0.0, seed=3)
        with FakeDevice(board, to_board=line) as fake:
            device = Device(open_link(fake.url), None, make_session=folder.make_session)
            with device:
                line.rate = 0.0 if number else 0.2
                try:
                    list(device.stream([noise(64_000)], want=1, exact=False))
                except LinkError as error:
                    folder.note({"type": "failed", "code": error.code, "text": error.message})
        folder.close()
        manifest = check_run(folder.path, tmp_path / f"again{number}")
        assert manifest["validity"] == "degraded"
        codes = {issue["code"] for issue in manifest["issues"]}
        assert codes == ({"port.vanished"} if number else {"run.audio_lost"})


def test_an_unanswered_run_is_invalid(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", None, {})
    folder.close()
    check("manifest", manifest_of(folder.path))
    assert manifest_of(folder.path)["validity"] == "invalid"


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 9, 20, 24, 25, 40])
def test_a_torn_log_gives_its_whole_records(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "link.shl"
    log = LinkLog(path)
    first, second = Record(Kind.TICK, 1), Record(Kind.RECEIVED, 2, b"abc")
    log.append(first)
    log.append(second)
    log.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    if cut < 8:
        with pytest.raises(UsageError) as caught:
            list(LogReader(path))
        assert caught.value.code == "run.log"
        return
    reader = LogReader(path)
    ends = (8, 8 + len(first.encode()), len(whole))
    expected = [r for r, end in zip((first, second), ends[1:], strict=True) if end <= cut]
    assert list(reader) == expected
    assert reader.torn_bytes == min(cut, len(whole)) - ends[len(expected)]


def test_a_flipped_bit_ends_the_log(tmp_path: Path) -> None:
    path = tmp_path / "link.shl"
    log = LinkLog(path)
    for number in range(3):
        log.append(Record(Kind.RECEIVED, number, b"abc"))
    log.close()
    whole = bytearray(path.read_bytes())
    for bit in range(8 * 28, 8 * 48):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert [record.t_ns for record in LogReader(path)] == [0]


@needs_cc
def test_a_cut_run_is_mended_and_stays_degraded(tmp_path: Path) -> None:
    folder = recorded(tmp_path)
    whole = {name: (folder / name).read_bytes() for name in DERIVED}
    manifest = manifest_of(folder)
    issue = {"code": "run.unfinished", "message": "killed"}
    manifest |= {"finished": None, "validity": "degraded", "issues": [issue], "files": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "events.jsonl").write_bytes(whole["events.jsonl"][:100])
    (folder / "audio.wav").unlink()
    with pytest.raises(RunDegraded):
        replay.run(arguments(replay, folder, "--mend"))
    assert {name: (folder / name).read_bytes() for name in DERIVED} == whole
    mended = check_run(folder, tmp_path / "again")
    assert mended["validity"] == "degraded" and set(DERIVED) < set(mended["files"])

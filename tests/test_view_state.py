"""What a view shows: every key from hand-made messages, and from a real run of the native board."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from host_rig import arguments, model, needs_cc, noise, write_clips, write_model

from shiftmcu import native
from shiftmcu.convert.emit import emit
from shiftmcu.decisions import Candidate
from shiftmcu.host import monitor
from shiftmcu.host import protocol as p
from shiftmcu.host.events import BoardText, Connected, Counters
from shiftmcu.host.info import BoardInfo
from shiftmcu.host.view_state import ViewState

INFO = {"board": "fake", "mcu": "m0", "clock_hz": "168000000", "tick_unit": "cycles"}
INFO |= {"tick_hz": "1000000", "slots": "a:x|y;b:p|q", "fw_version": "0.1.0", "hop_frames": "4"}
ACK = p.HelloAck(1, 0x3F, 1024, 2048, 7, 0, 1)
MS = 1_000_000


def state(kind: str = "mic", info: dict[str, str] = INFO, baud: int = 0) -> ViewState:
    view = ViewState(kind, baud=baud)
    view.begin(100 * MS)
    view.take(150 * MS, [Connected(ACK, BoardInfo(info))], [], Counters())
    return view


def test_a_snapshot_is_json_from_the_first_moment() -> None:
    document = ViewState("wav").snapshot()
    assert json.loads(json.dumps(document)) == document
    assert document["phase"] == "connecting" and document["board"] is None
    assert document["candidate"] is document["rule"] is document["model"] is None
    model = state().snapshot()["model"]
    assert model["slots"] == {"a": ["x", "y"], "b": ["p", "q"]} and model["tuples"] == []
    assert document["t_ms"] == 0 and document["level"]["rms_dbfs"] == -100


def test_the_board_says_who_it_is() -> None:
    view = state()
    lat = p.Lat(0, 1, 2, 3, 40, 500)
    beat = p.Heartbeat(2_500_000, 0, 0, 1)
    view.take(200 * MS, [beat, lat, p.Lat(1, 1, 2, 3, 40, 400), lat], [], Counters())
    assert view.snapshot()["board"] == {
        "name": "fake",
        "mcu": "m0",
        "clock_hz": 168_000_000,
        "unit": "cycles",
        "firmware": "0.1.0",
        "microphone": "",
        "uptime_s": 2.5,
        "stack_free": 500,
        "stack_min": 400,
    }
    assert view.snapshot()["t_ms"] == 100


def test_phases_follow_what_happens() -> None:
    view, phases = ViewState("mic"), []
    done = p.Done(1, 320, 0, 0, 0, 0, 0, 0)
    for events, entry in (
        ([], None),
        ([Connected(ACK, BoardInfo(INFO))], None),
        ([p.Started(1, 2048)], None),
        ([], {"t_ms": 1, "type": "pause"}),
        ([], {"t_ms": 1, "type": "resume"}),
        ([done], None),
        ([], {"t_ms": 2, "type": "failed", "code": "link.lost", "text": "gone"}),
    ):
        view.take(0, events, [entry] if entry else [], Counters())
        phases.append(view.snapshot()["phase"])
    assert phases == [
        *("connecting", "ready", "listening", "paused", "listening", "ready", "failed"),
    ]


def test_latency_is_time_where_the_unit_is_and_instructions_stay() -> None:
    lat = p.Lat(0, 10, 200, 30, 64, 500)
    view = state()
    view.take(0, [lat], [], Counters())
    view.judged(Candidate((1, 0), 16384, 8192), 12_500)
    latency = view.snapshot()["latency"]
    assert latency["unit"] == "us" and latency["budget_us"] == 80_000
    assert latency["network"] == {"last": 200, "median": 200, "p95": 200}
    assert latency["answer_us"]["last"] == 12_500
    view = state(info={**INFO, "tick_unit": "instructions"})
    view.take(0, [lat], [], Counters())
    latency = view.snapshot()["latency"]
    assert latency["unit"] == "instructions" and latency["budget_us"] is None
    assert latency["frontend"]["last"] == 10 and latency["answer_us"] is None


def test_names_of_a_candidate_come_from_the_board_where_there_is_no_model() -> None:
    view = state()
    view.judged(Candidate((1, 0), 16384, 8192), None)
    expected = {"intent": {"a": "y", "b": "p"}, "score": 0.5, "margin": 0.25}
    assert view.snapshot()["candidate"] == expected
    assert view.snapshot()["rule"] is None


def test_losses_are_summed_over_streams_and_resent_audio_is_none() -> None:
    done = p.Done(1, 9000, 0, 0, 0, 40, 0, 0)
    view = state()
    view.take(0, [p.Gap(0, 30), p.Gap(60, 10)], [], Counters())
    assert view.snapshot()["link"]["lost_samples"] == 40
    view.take(0, [done, p.Started(2, 0), p.Gap(0, 5)], [], Counters())
    assert view.snapshot()["link"]["lost_samples"] == 45
    exact = state("wav")
    exact.take(0, [p.Gap(0, 30)], [], Counters())
    assert exact.snapshot()["link"]["lost_samples"] == 0


def test_link_use_is_a_share_of_the_line() -> None:
    for baud, use in ((0, None), (460_800, 0.7104)):
        view = state(baud=baud)
        for tenth in range(30):
            counters = Counters(bytes_in=100 * tenth, bytes_out=3273 * tenth + tenth // 2)
            view.take(tenth * 100 * MS, [], [], counters)
        link = view.snapshot()["link"]
        assert (link["out_bytes_s"], link["in_bytes_s"]) == (32_735, 1000)
        assert link["use"] == use
    view.take(0, [], [], Counters(crc_errors=2, board_crc_errors=3, lost_packets=4, gaps=5))
    link = view.snapshot()["link"]
    assert (link["crc_errors"], link["lost_packets"], link["gaps"]) == (5, 4, 5)


def test_entries_are_numbered_and_sorted_by_what_they_are() -> None:
    view = state()
    entries = [
        {"t_ms": 1, "type": "connected", "board": "fake"},
        {"t_ms": 2, "type": "clip", "file": "a.wav"},
        {"t_ms": 3, "type": "intent", "intent": {"a": "x"}, "end_sample": 512},
        {
            "t_ms": 4,
            "type": "rejected",
            "intent": {"a": "y"},
            "why": "score 0.4 < 0.5",
            "end_sample": 512 + 9 * 320,
        },
        {"t_ms": 5, "type": "text", "text": "hello"},
        {"t_ms": 6, "type": "done"},
        {"t_ms": 7, "type": "intent", "intent": {"a": "y"}, "end_sample": 512 + 10 * 320},
    ]
    view.take(0, [BoardText("hello")], entries, Counters())
    document = view.snapshot()
    assert [(e["n"], e["t_ms"]) for e in document["intents"]] == [(3, 3), (7, 7)]
    assert [e["column"] for e in document["intents"]] == [0, 5]
    assert [(e["n"], e["why"]) for e in document["rejected"]] == [(4, "score 0.4 < 0.5")]
    assert [(e["n"], e["type"]) for e in document["log"]] == [(2, "clip"), (5, "text")]
    assert document["source"]["name"] == "a.wav" and document["counts"]["intent"] == 2
    view.take(0, [], [{"t_ms": 8, "type": "text", "text": str(n)} for n in range(100)], Counters())
    log = view.snapshot()["log"]
    assert len(log) == 50 and log[-1] == {"n": 107, "t_ms": 8, "type": "text", "text": "99"}


def test_audio_of_both_directions_moves_the_level_and_the_clock() -> None:
    view = state("board")
    view.take(0, [p.AudioUp(0, np.full(640, 16384, "<i2").tobytes())], [], Counters())
    document = view.snapshot()
    assert document["source"]["seconds"] == 0.04 and document["level"]["rms_dbfs"] == -6.0
    view.audio(np.full(640, -32768, "<i2").tobytes())
    document = view.snapshot()
    assert document["source"]["seconds"] == 0.08 and document["level"]["peak_dbfs"] == 0
    assert document["level"]["clipped"] == 640


@needs_cc
def test_a_real_run_shows_what_the_pc_computes(tmp_path: Path) -> None:
    clips = write_clips(tmp_path)
    words = ("--model", write_model(tmp_path), "--wav", *clips, "--speed", "0")
    args = arguments(monitor, *words, "--out", tmp_path / "run")
    run = monitor.Monitor(args, emit, watch=True)
    entries: list[dict[str, object]] = []
    run.listen(entries.append)
    assert run.view is not None
    document = run.view.snapshot()
    pcm = noise(9000 + 1234 * 2, seed=2)
    runtime = native.Model(model().data)
    result = runtime.run_clip(pcm)
    spectrogram = document["spectrogram"]
    features = result.features.astype(int) + 128
    pairs = [features[at : at + 2].max(axis=0) for at in range(0, len(features), 2)]
    shown = [list(bytes.fromhex(column)) for column in spectrogram["columns"]]
    assert shown[-len(pairs) :] == [list(pair) for pair in pairs]
    intents = [entry for entry in entries if entry["type"] == "intent"]
    extra = ("n", "column")
    stripped = [{k: v for k, v in e.items() if k not in extra} for e in document["intents"]]
    assert stripped == intents[-50:] and intents
    assert document["phase"] == "ready" and document["source"]["name"] == str(clips[-1])
    assert document["source"]["seconds"] == pcm.size / 16000
    assert document["board"]["name"] == "native" and document["latency"]["unit"] == "us"
    assert document["latency"]["network"]["median"] > 0
    assert document["model"]["name"] == model().name
    assert document["rule"]["threshold"] == document["rule"]["own_threshold"] == 0
    assert document["link"]["lost_samples"] == document["link"]["crc_errors"] == 0
    newer = run.view.snapshot(since=spectrogram["next"])["spectrogram"]
    assert newer["columns"] == [] and newer["next"] == spectrogram["next"]

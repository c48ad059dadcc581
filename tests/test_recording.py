"""``shiftmcu record``: takes end, levels are judged, nothing heard is lost, and it goes on."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import soundfile

from shiftmcu.errors import UsageError
from shiftmcu.host import protocol
from shiftmcu.host.board_microphone import BoardMicrophone
from shiftmcu.soundcard import CallbackCard
from shiftmcu.train import datasets, recording_cli
from shiftmcu.train.phrases import IntentSet, Phrase
from shiftmcu.train.recording import Folder, hear, prompts
from shiftmcu.train.recording_cli import CardMicrophone, Session
from shiftmcu.train.take import Endpoint, judge_level, speech_of

RNG = np.random.default_rng(0)
INTENTS = IntentSet(
    {"action": ("on", "off")},
    (Phrase("lamp on", ("on",), "01", True), Phrase("lamp off", ("off",), "02", True)),
)


def sound(seconds: float, peak: float = 0.3, noise: float = 0.001, wait: float = 0.6) -> np.ndarray:
    """float32: noise, a voiced sound of ``seconds``, noise again."""
    speech = np.arange(round(16000 * seconds)) / 16000
    wave = peak * np.sin(2 * np.pi * 180 * speech) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * speech))
    padded = np.concatenate([np.zeros(round(16000 * wait)), wave, np.zeros(24000)])
    return np.asarray(padded + noise * RNG.normal(size=padded.size), np.float32)


def pcm(*args: float, **kwargs: float) -> np.ndarray:
    return np.clip(np.rint(sound(*args, **kwargs) * 32768), -32768, 32767).astype(np.int16)


@pytest.mark.parametrize("block", [1, 7, 320, 1000, 50_000])
def test_a_take_ends_after_speech_however_it_is_cut(block: int) -> None:
    heard = pcm(1.0)
    endpoint = Endpoint()
    ends = next(at for at in range(0, heard.size, block) if endpoint.feed(heard[at : at + block]))
    assert ends + block >= round(16000 * 2.3)  # 0.6 s, 1 s of speech, 0.8 s of pause
    if block <= 1000:
        assert ends < round(16000 * 2.6)
    speech = speech_of(heard)
    assert speech is not None and abs(speech.size / 16000 - 1.5) < 0.1


def test_a_click_is_no_speech_and_silence_ends() -> None:
    quiet = pcm(0.02, peak=0.9)
    assert speech_of(quiet) is None
    assert not Endpoint().feed(np.zeros(16000, np.int16))
    assert Endpoint().feed(np.zeros(8 * 16000, np.int16))
    endless = Endpoint()
    talk = pcm(20.0)
    assert not endless.feed(talk[: 10 * 16000]) and endless.feed(talk[10 * 16000 : 15 * 16000])
    assert speech_of(np.zeros(0, np.int16)) is None


@pytest.mark.parametrize(
    ("take", "lost", "hint", "again"),
    [
        (pcm(1.0), 0, "", False),
        (pcm(1.0, peak=0.02, noise=0.0002), 0, "quiet", False),
        (pcm(1.0, peak=0.3, noise=0.03), 0, "noisy", False),
        (pcm(1.0, peak=1.4), 0, "too loud", True),
        (pcm(0.02), 0, "no speech", True),
        (pcm(1.0), 2, "lost audio", True),
        (np.zeros(0, np.int16), 0, "no speech", True),
    ],
)
def test_levels_are_judged(take: np.ndarray, lost: int, hint: str, again: bool) -> None:
    level = judge_level(take, lost)
    assert level.hint.startswith(hint) or hint in level.hint
    assert level.again == again and bool(level.hint) == bool(hint)


class Speaker(CallbackCard):
    """A sound card at 48 kHz in front of which somebody says ``lines``, one after the other."""

    def __init__(self, *lines: np.ndarray) -> None:
        super().__init__(48000)
        self.lines = list(lines)
        self.now: Iterator[np.ndarray] = iter(())

    def speak(self) -> None:
        wave = np.repeat(self.lines.pop(0), 3)[:, None]
        self.now = (wave[at : at + 960] for at in range(0, len(wave), 960))

    def read(self) -> np.ndarray:
        block = next(self.now, None)
        if block is not None:
            self.callback(block, len(block), None, None)
        return super().read()


def session(folder: Folder, card: Speaker, keys: list[str]) -> tuple[Session, list[str]]:
    said: list[str] = []

    def ask(text: str) -> str:
        said.append(text)
        key = keys.pop(0)
        if key in ("", "again"):
            card.speak()
        return "" if key == "again" else key

    return Session(folder, CardMicrophone(card, lambda _s: None), ask, said.append), said


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_session_with_redo_skip_and_a_bad_take(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "own", INTENTS, "anna")
    wanted = prompts(INTENTS.phrases, 2)
    assert [prompt.take for prompt in wanted] == [1, 1, 2, 2]
    card = Speaker(sound(0.8), sound(1.2), sound(0.5, peak=1.5), sound(0.6), sound(0.7))
    #        first, its redo, second too loud, again, third skipped, fourth
    made, said = session(folder, card, ["", "r", "", "", "again", "s", ""])
    made.record(wanted)
    assert any("too loud" in line for line in said)
    rows = table(tmp_path / "own")
    assert len(rows) == 3 and {row["speaker"] for row in rows} == {"anna"}
    first = next(row for row in rows if row["file"] == f"{wanted[0].name('anna')}.flac")
    assert float(first["seconds"]) == pytest.approx(1.7, abs=0.1)  # the second take of it
    assert len(list((tmp_path / "own" / "raw").iterdir())) == 5  # whatever was heard is there
    data = datasets.load(f"csv:{tmp_path / 'own' / 'labels.csv'}?weight=4")
    assert data.slots == ("action",) and {clip.slots["action"] for clip in data.clips} == {
        "on",
        "off",
    }
    again, _ = session(Folder(tmp_path / "own", INTENTS, "anna"), Speaker(sound(0.9)), [""])
    again.record(wanted)
    assert len(table(tmp_path / "own")) == 4


def test_what_was_heard_when_it_was_killed_is_found(tmp_path: Path) -> None:
    folder = Folder(tmp_path, INTENTS, "anna")
    card = Speaker(sound(1.0))
    card.speak()

    class KilledError(Exception):
        pass

    blocks = 0

    def killed() -> bool:
        nonlocal blocks
        blocks += 1
        if blocks > 40:
            raise KilledError
        return False

    with pytest.raises(KilledError):
        hear(CardMicrophone(card, lambda _s: None), folder.spool, killed)
    found = Folder(tmp_path, INTENTS, "anna").recover()
    assert found is not None and soundfile.info(found).frames > 0.5 * 16000
    assert folder.recover() is None


def test_audio_before_the_take_is_not_in_it() -> None:
    card = Speaker(sound(1.0))
    for _ in range(20):
        card.callback(np.ones((960, 1), np.float32), 960, None, None)
    card.speak()
    blocks = CardMicrophone(card, lambda _s: None).blocks(lambda: True)
    assert np.abs(np.concatenate([next(blocks) for _ in range(10)])[2000:]).max() < 1000


def test_a_folder_of_other_intents_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,colour\n")
    with pytest.raises(UsageError, match="'action'") as error:
        Folder(tmp_path, INTENTS, "anna")
    assert error.value.code == "record.labels"
    with pytest.raises(UsageError) as error:
        Folder(tmp_path, INTENTS, "../anna")
    assert error.value.code == "record.speaker"


def test_a_board_hears_in_blocks_and_counts_what_it_lost() -> None:
    class Board:
        def hear(self, *, want: int, more: Callable[[], bool]) -> Iterator[object]:
            assert want == protocol.AUDIO_UP_BIT
            for first in (0, 4, 12):  # four samples are missing
                if more():
                    yield protocol.AudioUp(first, np.full(4, first, "<i2").tobytes())

    microphone = BoardMicrophone(Board())  # type: ignore[arg-type]
    blocks = list(microphone.blocks(lambda: True))
    assert np.concatenate(blocks).tolist() == [0] * 4 + [4] * 4 + [0] * 4 + [12] * 4
    assert microphone.losses == 4


def test_the_command_says_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "intents.yaml").write_text(
        'slots: {action: ["on", "off"]}\nintents:\n'
        '  - {action: "on", phrases: ["lamp on"]}\n  - {action: "off", phrases: ["lamp off"]}\n'
    )
    card = Speaker(sound(1.0))
    card.speak()
    keys = iter(["", "q"])
    monkeypatch.setattr(recording_cli, "_ask", lambda _text: next(keys))
    parser = argparse.ArgumentParser()
    recording_cli.add_arguments(parser)
    args = parser.parse_args(
        [
            *("--intents", str(tmp_path / "intents.yaml"), "--out", str(tmp_path / "own")),
            *("--port", "somewhere", "--speaker", "ben", "--rejects", "2"),
        ]
    )
    document = recording_cli.run(
        args, board_microphone=lambda _port, _baud: nullcontext(CardMicrophone(card))
    )
    assert document["clips"] == 1 and document["left"] == 7  # 2 x 3 and 2 that are no command
    assert "7 of 8 are left" in capsys.readouterr().err

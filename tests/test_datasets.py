"""Data-set specifications as users write them, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from shiftmcu.errors import UsageError
from shiftmcu.train import datasets


def tone(path: Path, hertz: float = 440.0, seconds: float = 0.1, rate: int = 16000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * rate)) / rate
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * time), rate)
    return path


def table(folder: Path, text: str, name: str = "labels.csv") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return f"csv:{folder / name}"


def test_csv_columns_become_slots(tmp_path: Path) -> None:
    spec = table(
        tmp_path,
        "file,intent,drink,size,seconds,split,speaker\n"
        "a.wav,order,coffee,,1.0,train,x\nb.wav,order,tea,large,1.0,test,y\n",
    )
    data = datasets.load(spec)
    assert data.slots == ("drink", "size")
    assert data.clips[0].slots == {"drink": "coffee", "size": "none"}
    assert [c.split for c in data.clips] == ["train", "test"]
    assert data.clips[0].path == tmp_path / "a.wav"
    assert data.clips[1].intent(("size", "drink")) == ("large", "tea")
    assert datasets.slot_labels(data.clips, data.slots) == {
        "drink": ("coffee", "tea"),
        "size": ("none", "large"),
    }
    assert [c.file for c in datasets.load(spec + "?split=test&slots=size").clips] == ["b.wav"]


def test_audio_folder_beside_the_table_and_option(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    spec = table(tmp_path, "path,keyword\na.wav,x\n")
    assert datasets.load(spec).clips[0].path == tmp_path / "audio" / "a.wav"
    assert datasets.load(f"{spec}?audio={tmp_path}").clips[0].path == tmp_path / "a.wav"


def test_reject_rows_have_no_slots(tmp_path: Path) -> None:
    spec = table(tmp_path, "file,keyword,command\na.wav,x,1\nb.wav,,0\n")
    yes, no = datasets.load(spec).clips
    assert (yes.command, no.command, dict(no.slots)) == (True, False, {})
    assert not datasets.as_rejects([yes])[0].command


def test_speakers_stay_on_one_side(tmp_path: Path) -> None:
    rows = "".join(f"{i}.wav,{'ab'[i % 2]},s{i % 40}\n" for i in range(400))
    data = datasets.load(table(tmp_path, "file,keyword,speaker\n" + rows))
    sides: dict[str, set[str]] = {}
    for clip in data.clips:
        sides.setdefault(clip.speaker, set()).add(clip.split)
    assert all(len(side) == 1 for side in sides.values())
    assert {c.split for c in data.clips} == set(datasets.SPLITS)
    assert "by speaker" in data.notes[0]


def test_groups_file_decides_the_split(tmp_path: Path) -> None:
    spec = table(tmp_path, "file,keyword\na.wav,x\nb.wav,y\nc.wav,y\n")
    table(tmp_path, "file,group\na.wav,1\nb.wav,2\nc.wav,1\n", "groups.csv")
    clips = datasets.load(f"{spec}?groups={tmp_path / 'groups.csv'}").clips
    assert [c.group for c in clips] == ["1", "2", "1"]
    assert clips[0].split == clips[2].split


def test_folder_per_class(tmp_path: Path) -> None:
    for name in ("yes/a_nohash_0.wav", "yes/a_nohash_1.wav", "no/b.wav", "_reject/c.wav"):
        tone(tmp_path / name)
    tone(tmp_path / "_background/d.wav")
    clips = datasets.load(f"folder:{tmp_path}").clips
    assert {c.slots.get("keyword") for c in clips} == {"yes", "no", None}
    assert sum(not c.command for c in clips) == 1
    assert {c.speaker for c in clips if c.slots.get("keyword") == "yes"} == {"a"}


def test_fsc_layout(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for split in datasets.SPLITS:
        (tmp_path / "data" / f"{split}_data.csv").write_text(
            ",path,speakerId,transcription,action,object,location\n"
            f"0,wavs/speakers/p/{split}.wav,p_{split},Lamp on,activate,lamp,none\n"
        )
    data = datasets.load(f"fsc:{tmp_path}")
    assert data.slots == ("action", "object", "location")
    assert [c.split for c in data.clips] == list(datasets.SPLITS)
    assert data.clips[0].speaker == "p_train"
    assert data.clips[0].path == tmp_path / "wavs/speakers/p/train.wav"


def test_hash_follows_audio_and_labels_not_place(tmp_path: Path) -> None:
    hashes = []
    for folder, hertz in (("one", 440.0), ("two", 440.0), ("three", 441.0)):
        tone(tmp_path / folder / "a.wav", hertz)
        clips = datasets.load(table(tmp_path / folder, "file,keyword,split\na.wav,x,train\n")).clips
        hashes.append(datasets.data_hash(clips))
    assert hashes[0] == hashes[1] != hashes[2]


def test_limit_spreads_over_the_list(tmp_path: Path) -> None:
    spec = table(tmp_path, "file,keyword\n" + "".join(f"{i}.wav,x\n" for i in range(10)))
    assert [c.file for c in datasets.load_clips(spec, limit=2)] == ["0.wav", "5.wav"]
    with pytest.raises(UsageError, match="at least 1"):
        datasets.load_clips(spec, limit=0)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("labels.csv", "data.spec"),
        ("wav:labels.csv", "data.spec"),
        ("csv:{dir}/none.csv", "data.missing"),
        ("folder:{dir}/none", "data.missing"),
        ("fsc:{dir}", "data.missing"),
        ("csv:{dir}/labels.csv?colour=red", "data.spec"),
        ("csv:{dir}/labels.csv?split=dev", "data.spec"),
        ("csv:{dir}/labels.csv?slots=colour", "data.slots"),
        ("csv:{dir}/labels.csv?split=valid", "data.empty"),
        ("csv:{dir}/nofile.csv", "data.columns"),
        ("csv:{dir}/split.csv", "data.split"),
        ("csv:{dir}/empty.csv", "data.columns"),
    ],
)
def test_wrong_use_is_named(tmp_path: Path, text: str, code: str) -> None:
    table(tmp_path, "file,keyword,split\na.wav,x,train\n")
    table(tmp_path, "name,keyword\na.wav,x\n", "nofile.csv")
    table(tmp_path, "file,keyword,split\na.wav,x,blue\n", "split.csv")
    table(tmp_path, "", "empty.csv")
    with pytest.raises(UsageError) as error:
        datasets.load(text.format(dir=tmp_path))
    assert error.value.code == code
    assert error.value.next_step


def test_one_label_is_not_a_class(tmp_path: Path) -> None:
    clips = datasets.load(table(tmp_path, "file,keyword\na.wav,x\nb.wav,x\n")).clips
    with pytest.raises(UsageError) as error:
        datasets.slot_labels(clips, ("keyword",))
    assert error.value.code == "data.classes"

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
    """A table as given; the audio of its first column is there, if empty."""
    (folder / name).write_text(text, encoding="utf-8")
    for line in text.splitlines()[1:]:
        audio = folder / line.split(",")[0]
        if not audio.exists():
            audio.touch()
    return f"csv:{folder / name}"


def notes_of(spec: str) -> str:
    return " | ".join(datasets.load(spec).notes)


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
    spec = table(tmp_path, "path,keyword\na.wav,x\n")
    tone(tmp_path / "audio" / "a.wav")
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
    assert "by speaker" in data.division[0]


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
        tone(tmp_path / f"wavs/speakers/p/{split}.wav")
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
        ("csv:{dir}/labels.csv?fold=1/2", "data.spec"),
        ("csv:{dir}/labels.csv?fold=0/5", "data.spec"),
        ("csv:{dir}/labels.csv?fold=1-5", "data.spec"),
        ("csv:{dir}/labels.csv?fold=1/5", "data.groups"),
        ("csv:{dir}/labels.csv?weight=0", "data.spec"),
        ("csv:{dir}/labels.csv?weight=inf", "data.spec"),
        ("csv:{dir}/labels.csv?weight=much", "data.spec"),
        ("folder:{dir}/classes", "data.classes"),
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
    (tmp_path / "classes" / "yes").mkdir(parents=True)
    with pytest.raises(UsageError) as error:
        datasets.load(text.format(dir=tmp_path))
    assert error.value.code == code
    assert error.value.next_step


def test_one_label_is_not_a_class(tmp_path: Path) -> None:
    clips = datasets.load(table(tmp_path, "file,keyword\na.wav,x\nb.wav,x\n")).clips
    with pytest.raises(UsageError) as error:
        datasets.slot_labels(clips, ("keyword",))
    assert error.value.code == "data.classes"


def grouped(folder: Path, sizes: list[int]) -> str:
    rows = [f"{g}_{i}.wav,{'xy'[i % 2]},g{g}" for g, size in enumerate(sizes) for i in range(size)]
    return table(folder, "file,keyword,group\n" + "\n".join(rows) + "\n")


def test_folds_test_every_clip_once_and_divide_no_group(tmp_path: Path) -> None:
    spec = grouped(tmp_path, [30, 20, 17, 12, 9, 9, 5, 3, 2, 1, 1, 1])
    tested: list[str] = []
    validated: list[str] = []
    for fold in range(1, 6):
        data = datasets.load(f"{spec}?fold={fold}/5")
        sides: dict[str, set[str]] = {}
        for clip in data.clips:
            sides.setdefault(clip.group, set()).add(clip.split)
        assert all(len(side) == 1 for side in sides.values())
        assert len(data.clips) == 110
        tested += [clip.file for clip in data.split("test")]
        validated += [clip.file for clip in data.split("valid")]
        assert f"fold {fold} of 5 by group" in data.division[0]
    assert len(tested) == len(set(tested)) == len(validated) == len(set(validated)) == 110


def test_folds_are_as_even_as_the_groups_allow(tmp_path: Path) -> None:
    spec = grouped(tmp_path, [30, 20, 10, 10, 10, 10, 10, 10, 5, 5])
    sizes = [len(datasets.load(f"{spec}?fold={k}/4&split=test").clips) for k in range(1, 5)]
    assert sizes == [30, 30, 30, 30]


def test_repeated_rows_count_once(tmp_path: Path) -> None:
    spec = table(tmp_path, "file,keyword\na.wav,x\nb.wav,y\na.wav,x\n")
    assert [c.file for c in datasets.load(spec).clips] == ["a.wav", "b.wav"]
    assert "1 repeated rows left out: a.wav" in notes_of(spec)
    for rows in ("a.wav,x,train\na.wav,y,train\n", "a.wav,x,train\na.wav,x,test\n"):
        with pytest.raises(UsageError, match=r"a.wav stands in two rows") as error:
            datasets.load(table(tmp_path, "file,keyword,split\n" + rows))
        assert error.value.code == "data.duplicate"


def test_missing_files_are_counted_and_named(tmp_path: Path) -> None:
    rows = "".join(f"{i}.wav,{'xy'[i % 2]}\n" for i in range(200))
    spec = table(tmp_path, "file,keyword\n" + rows)
    for i in range(7):
        (tmp_path / f"{i}.wav").unlink()
    assert len(datasets.load(spec).clips) == 193
    assert "7 missing files left out: 0.wav, 1.wav, 2.wav, 3.wav, 4.wav and 2 more" in notes_of(
        spec
    )
    for i in range(7, 11):
        (tmp_path / f"{i}.wav").unlink()
    with pytest.raises(UsageError, match=r"11 of 200 audio files are missing") as error:
        datasets.load(spec)
    assert error.value.code == "data.files"


def test_a_single_file_that_is_missing_is_named(tmp_path: Path) -> None:
    spec = table(tmp_path, "file,keyword\na.wav,x\n")
    (tmp_path / "a.wav").unlink()
    with pytest.raises(UsageError, match=r"a\.wav"):
        datasets.load(spec)


def test_weight_is_of_every_clip(tmp_path: Path) -> None:
    spec = table(tmp_path, "file,keyword\na.wav,x\nb.wav,y\n")
    assert {clip.weight for clip in datasets.load(f"{spec}?weight=2.5").clips} == {2.5}
    assert {clip.weight for clip in datasets.load(spec).clips} == {1.0}


SPEECH = Path(__file__).resolve().parent.parent.parent / "shared" / "speech"


@pytest.mark.skipif(not (SPEECH / "barista").is_dir(), reason="no ../shared/speech/barista")
def test_barista_reads_as_it_is() -> None:
    folder = SPEECH / "barista"
    data = datasets.load(f"csv:{folder}/labels.csv?groups={folder}/channel_group.csv&fold=2/5")
    assert data.slots == (
        "coffeeDrink", "size", "roast", "numberOfShots", "milkAmount", "sugarAmount",
    )  # fmt: skip
    assert len(data.clips) == 421
    assert all(clip.command and clip.group and clip.path.is_file() for clip in data.clips)
    assert data.clips[0].slots["milkAmount"] == "none"
    sizes = [len(data.split(name)) for name in datasets.SPLITS]
    assert sum(sizes) == 421
    assert max(sizes[1:]) - min(sizes[1:]) <= 1
    sides = [{clip.group for clip in data.split(name)} for name in datasets.SPLITS]
    assert not sides[0] & sides[1]
    assert not sides[2] & (sides[0] | sides[1])

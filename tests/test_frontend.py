"""The audio frontend: C equals numpy bit for bit, numpy equals librosa within a log step."""

from __future__ import annotations

import csv
import json
import runpy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shiftmcu import frontend
from shiftmcu import frontend_tables as tables
from shiftmcu.errors import UsageError

TESTS = Path(__file__).parent
LIBRARY = TESTS.parent / "firmware" / "lib" / "shiftmcu"
GOLDEN = TESTS / "golden" / "frontend.json"
SPEECH = TESTS.parents[1] / "shared" / "speech" / "wakewords"
SOURCES = ("bytes.c", "fft.c", "frame.c", "frontend.c", "frontend_tables.c")
SOURCES += ("activity.c", "level.c", "mic.c", "pdm.c", "pdm_tables.c")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1"]
LOUDEST = 32767

Pcm = NDArray[np.int16]
CFeatures = Callable[..., NDArray[np.int8]]


@pytest.fixture(scope="module")
def c_features(tmp_path_factory: pytest.TempPathFactory) -> CFeatures:
    """The C frontend under ASan and UBSan, fed in chunks of given sizes."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is installed")
    program = tmp_path_factory.mktemp("frontend") / "pipe"
    sources = [TESTS / "c" / "pipe.c"]
    sources += [LIBRARY / name for name in SOURCES]
    command = [compiler, "-std=c99", *WARNINGS, *SANITIZERS, f"-I{LIBRARY}", "-o", str(program)]
    subprocess.run([*command, *map(str, sources)], check=True)

    def run(pcm: Pcm, *chunks: int) -> NDArray[np.int8]:
        command = [str(program), "features", *map(str, chunks or (4096,))]
        out = subprocess.run(command, input=pcm.tobytes(), stdout=-1, check=True).stdout
        return np.frombuffer(out, dtype=np.int8).reshape(-1, frontend.BINS)

    return run


def synthetic_speech() -> Pcm:
    """Four seconds of pulses through moving formants, hisses and pauses, over faint noise."""
    rng = np.random.default_rng(3)
    n = 4 * frontend.SAMPLE_RATE_HZ
    pitch_hz = 120 + 40 * np.sin(np.arange(n) / 9000)
    pulses = np.diff(np.floor(np.cumsum(pitch_hz) / frontend.SAMPLE_RATE_HZ), prepend=0.0)
    hiss = rng.normal(size=n)
    voice = np.zeros(n)
    for formant_hz, width_hz, level in ((500, 80, 1.0), (1500, 120, 0.5), (2500, 160, 0.25)):
        t = np.arange(800) / frontend.SAMPLE_RATE_HZ
        ringing = np.exp(-np.pi * width_hz * t) * np.sin(2 * np.pi * formant_hz * t)
        voice += level * np.convolve(pulses, ringing)[:n]
    syllable = np.maximum(0, np.sin(np.arange(n) / 1600)) ** 2
    fricative = np.maximum(0, -np.sin(np.arange(n) / 1600 + 0.5)) ** 4
    mix = 9000 * voice * syllable + 1500 * np.diff(hiss, prepend=0.0) * fricative + 12 * hiss
    return np.clip(np.round(mix), -LOUDEST, LOUDEST).astype(np.int16)


def espeak(folder: Path) -> Pcm | None:
    """A sentence of espeak-ng at 16 kHz, where it is installed."""
    if shutil.which("espeak-ng") is None:
        return None
    soundfile, soxr = pytest.importorskip("soundfile"), pytest.importorskip("soxr")
    path = folder / "speech.wav"
    text = "switch on the kitchen lights, and turn the heating down"
    subprocess.run(["espeak-ng", "-w", str(path), text], check=True)
    samples, rate_hz = soundfile.read(path, dtype="float32")
    resampled = soxr.resample(samples, rate_hz, frontend.SAMPLE_RATE_HZ)
    return np.clip(np.round(resampled * 32768), -32768, 32767).astype(np.int16)


def wakewords(count: int) -> list[Pcm]:
    """Real speech, where the shared data is present."""
    soundfile = pytest.importorskip("soundfile")
    labels = SPEECH / "labels.csv"
    if not labels.exists():
        pytest.skip("no ../shared/speech/wakewords beside the checkout")
    with labels.open(newline="") as file:
        names = [Path(row["file"]).name for row in csv.DictReader(file)]
    picked = names[:: len(names) // count][:count]
    return [soundfile.read(SPEECH / "audio" / name, dtype="int16")[0] for name in picked]


def adversarial() -> dict[str, Pcm]:
    n = np.arange(2000)
    rng = np.random.default_rng(11)
    signals = {
        "silence": 0 * n,
        "lowest": 0 * n - 32768,
        "highest": 0 * n + 32767,
        "one step": n == 700,
        "minus one step": -1 * (n == 700),
        "steps of one": n % 2,
        "impulse down": -32768 * (n == 600),
        "highest among lowest": np.where(n % 512 == 100, 32767, -32768),
        "lowest among highest": np.where(n % 512 == 400, -32768, 32767),
        "edge at the middle": np.where(n % 512 < 256, -32768, 32767),
        "white extremes": rng.choice([-32768, 32767], n.size),
        "tiny noise": rng.integers(-1, 2, n.size),
        "noise on a high mean": 32000 + rng.integers(-700, 700, n.size),
        "burst at the window's end": (n % 320 > 300) * rng.integers(-32768, 32768, n.size),
    }
    for period in (2, 3, 4, 8, 15, 16, 32, 64, 100, 512):
        signals[f"square of {period}"] = np.where(n % period < period / 2, 32767, -32768)
    for hz in (31.25, 62.5, 1000, 3999.9, 7968.75):
        signals[f"sine of {hz} Hz"] = np.round(LOUDEST * np.cos(2 * np.pi * hz * n / 16000))
    return {name: np.asarray(pcm).astype(np.int16) for name, pcm in signals.items()}


# --- parameters and tables --------------------------------------------------------------------


def test_committed_tables_are_what_python_emits(tmp_path: Path) -> None:
    frontend.main(["--emit", str(tmp_path)])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["frontend_tables.c", "frontend_tables.h"]
    for name in names:
        assert (LIBRARY / name).read_text() == (tmp_path / name).read_text()


def test_the_id_is_in_the_emitted_header() -> None:
    line = f"#define SMCU_FRONTEND_ID 0x{frontend.FRONTEND_ID:08x}u"
    assert line in frontend.emit_c()["frontend_tables.h"].splitlines()


def test_mel_edges_and_triangles_are_librosas() -> None:
    librosa = pytest.importorskip("librosa")
    edges = librosa.mel_frequencies(tables.BINS + 2, fmin=60, fmax=7600, htk=False)
    np.testing.assert_allclose(tables.EDGES_HZ, edges, rtol=1e-12)
    triangles = librosa.filters.mel(
        sr=16000, n_fft=512, n_mels=40, fmin=60, fmax=7600, htk=False, norm=None
    )
    assert np.abs(tables.MEL - 256 * triangles[:, :256]).max() <= 0.5 + 1e-4


def test_a_bins_two_weights_sum_to_256() -> None:
    inside = tables.MEL[:, (tables.MEL[0] != 0).argmax() + 3 : 220].sum(axis=0)
    assert (inside == 256).all()


def test_fft_stages_stay_within_int16() -> None:
    """The claim behind the stage shifts: what growth and rounding can add stays below 2^15."""
    cosine, sine = np.roll(tables.SINE, -128), tables.SINE
    gain = 1 + 3 * (np.abs(cosine) + np.abs(sine)).max() / 16384
    for shift, peak in ((0, 1 << 12), (1, 1 << 13), (2, 1 << 14), (3, 1 << 15)):
        assert peak * gain / (1 << shift) + 1 < 32767
    # Stage 1: 13 bits and a sign, and four weights that sum to 2.
    for n in range(128):
        assert 8192 * int(tables.HANN[n::128].sum()) / 32768 + 4 * 0.5 < 16387


def test_products_stay_within_int32() -> None:
    worst_mean = (511 * -32768 + 32767 + 256) >> 9
    assert (32767 - worst_mean) * int(tables.HANN.max()) + (1 << 17) < 2**31
    turn = int((np.abs(np.roll(tables.SINE, -128)) + np.abs(tables.SINE)).max())
    assert 65536 * turn + 8192 < 2**31
    assert int(tables.MEL_COUNT.max()) * 65535 * 256 * 2 < 2**32


# --- equality ---------------------------------------------------------------------------------


def test_golden_file_is_what_its_generator_writes() -> None:
    written = runpy.run_path(str(TESTS / "golden" / "make_frontend.py"))["document"]() + "\n"
    assert GOLDEN.read_text() == written


def test_golden_signals_on_both_sides(c_features: CFeatures) -> None:
    document: dict[str, Any] = json.loads(GOLDEN.read_text())
    assert document["frontend_id"] == f"{frontend.FRONTEND_ID:08x}"
    for row in document["signals"]:
        pcm = np.frombuffer(bytes.fromhex(row["pcm"]), dtype="<i2")
        assert frontend.features(pcm).tobytes().hex() == row["features"], row["name"]
        assert c_features(pcm).tobytes().hex() == row["features"], row["name"]


@pytest.mark.parametrize(("name", "pcm"), adversarial().items())
def test_c_equals_numpy_on_adversarial_signals(name: str, pcm: Pcm, c_features: CFeatures) -> None:
    np.testing.assert_array_equal(c_features(pcm), frontend.features(pcm), err_msg=name)


def test_c_equals_numpy_on_noise_of_every_level(c_features: CFeatures) -> None:
    rng = np.random.default_rng(2)
    levels = np.repeat(np.exp2(rng.uniform(0, 15, 3000)), 320)
    means = np.repeat(rng.integers(-2000, 2000, 1500), 640)
    noise = rng.normal(size=levels.size) * levels / 2 + means
    pcm = np.clip(np.round(noise), -32768, 32767).astype(np.int16)
    np.testing.assert_array_equal(c_features(pcm), frontend.features(pcm))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-32768, 32767), min_size=4, max_size=12), st.integers(1, 100))
def test_c_equals_numpy_on_any_pattern(
    c_features: CFeatures, pattern: list[int], stretch: int
) -> None:
    pcm = np.resize(np.repeat(np.array(pattern, dtype=np.int16), stretch), 1200)
    np.testing.assert_array_equal(c_features(pcm), frontend.features(pcm))


def test_c_equals_numpy_on_speech(c_features: CFeatures) -> None:
    pcm = np.concatenate(wakewords(20))
    np.testing.assert_array_equal(c_features(pcm), frontend.features(pcm))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=6), st.integers(0, 3000))
def test_any_chunks_give_the_same_frames(
    c_features: CFeatures, chunks: list[int], n_samples: int
) -> None:
    pcm = synthetic_speech()[5000 : 5000 + n_samples]
    np.testing.assert_array_equal(c_features(pcm, *chunks), frontend.features(pcm))


@pytest.mark.parametrize(
    ("n_samples", "frames"),
    [(0, 0), (1, 0), (511, 0), (512, 1), (513, 1), (831, 1), (832, 2), (1151, 2), (1152, 3)],
)
def test_frames_in(n_samples: int, frames: int) -> None:
    assert frontend.frames_in(n_samples) == frames
    assert frontend.features(np.zeros(n_samples, dtype=np.int16)).shape == (frames, frontend.BINS)


def test_frames_do_not_depend_on_each_other() -> None:
    pcm = synthetic_speech()
    whole = frontend.features(pcm)
    for i in (0, 7, len(whole) - 1):
        np.testing.assert_array_equal(frontend.features(pcm[320 * i : 320 * i + 512])[0], whole[i])


@pytest.mark.parametrize("pcm", [np.zeros(600), np.zeros((600, 2), dtype=np.int16)])
def test_other_samples_are_refused(pcm: Any) -> None:
    with pytest.raises(UsageError, match="one row of int16"):
        frontend.features(pcm)


# --- meaning ----------------------------------------------------------------------------------


def test_levels_are_calibrated() -> None:
    """0 is librosa's floor; rounding noise lies above it, a full-scale sine below the top."""
    n = np.arange(16000)
    assert (frontend.features(np.zeros(512, dtype=np.int16)) == -128).all()
    sine = 100 * np.sin(2 * np.pi * 1000 * n / 16000)
    rounding = np.random.default_rng(1).uniform(-0.5, 0.5, n.size)
    noise = frontend.features(np.round(sine + rounding).astype(np.int16))[:, 20:].astype(int) + 128
    assert 17 < noise.mean() < 22
    for hz in (100, 440, 1000, 3000, 7000):
        sine = np.round(LOUDEST * np.sin(2 * np.pi * hz * n / 16000)).astype(np.int16)
        assert 100 < frontend.features(sine).max() < 127


def test_six_steps_are_one_octave_of_power() -> None:
    pcm = synthetic_speech()
    quarter, whole = frontend.features(pcm // 4).astype(int), frontend.features(pcm).astype(int)
    loud = quarter > -60
    assert abs((whole - quarter)[loud].mean() - 24) < 0.3


def librosa_plane(pcm: NDArray[Any]) -> NDArray[np.float64]:
    librosa = pytest.importorskip("librosa")
    power = librosa.feature.melspectrogram(
        y=pcm.astype(np.float32) / 32768, **frontend.LIBROSA_PARAMETERS
    )
    plane: NDArray[np.float64] = librosa.power_to_db(power, amin=1e-10, top_db=None).T
    return plane


def correlation(plane: NDArray[np.int8], other: NDArray[np.float64]) -> float:
    return float(np.corrcoef(plane.ravel().astype(float), other.ravel())[0, 1])


def correlations(pcm: Pcm) -> dict[str, float]:
    """Of our plane with librosa's, for the clip as it is, 30 dB softer, and on a DC offset."""
    soft = np.round(pcm * 10**-1.5).astype(np.int16)
    shifted = np.clip(pcm.astype(int) + 3000, -32768, 32767).astype(np.int16)
    original = librosa_plane(pcm)
    return {
        "normal": correlation(frontend.features(pcm), original),
        "-30 dB": correlation(frontend.features(soft), librosa_plane(soft)),
        "-30 dB, against the original": correlation(frontend.features(soft), original),
        "-30 dB, librosa itself": float(
            np.corrcoef(librosa_plane(soft).ravel(), original.ravel())[0, 1]
        ),
        "DC 3000": correlation(frontend.features(shifted), librosa_plane(shifted)),
        "DC 3000, against the original": correlation(frontend.features(shifted), original),
    }


def check(measured: dict[str, float]) -> None:
    """What rounding to int16 took away at -30 dB is lost to librosa as well."""
    limit = measured.pop("-30 dB, librosa itself")
    assert measured.pop("-30 dB, against the original") > limit - 0.01, measured
    assert min(measured.values()) > 0.98, measured


def test_librosa_on_synthetic_speech() -> None:
    check(correlations(synthetic_speech()))


def test_librosa_on_espeak(tmp_path: Path) -> None:
    pcm = espeak(tmp_path)
    if pcm is None:
        pytest.skip("espeak-ng is not installed")
    check(correlations(pcm))


def test_librosa_on_real_speech() -> None:
    measured = [correlations(pcm) for pcm in wakewords(50)]
    for key in measured[0]:
        values = [row[key] for row in measured]
        print(f"{key}: min {min(values):.4f} mean {np.mean(values):.4f}")
    for row in measured:
        check(row)

"""The microphone path: C equals numpy bit for bit, and the PDM filter is as good as it says."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import cortex
import numpy as np
import pytest
from numpy.typing import NDArray

from shiftmcu import microphone, pdm
from shiftmcu.microphone import Format

TESTS = Path(__file__).parent
LIBRARY = TESTS.parent / "firmware" / "lib" / "shiftmcu"
SOURCES = ("bytes.c", "fft.c", "frame.c", "frontend.c", "frontend_tables.c")
SOURCES += ("activity.c", "level.c", "mic.c", "pdm.c", "pdm_tables.c")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1"]
BIT_HZ = 1_024_000
RATE_HZ = 16_000
PASSBAND_HZ, STOPBAND_HZ = 7400, 8400

I2S = Format("i2s")
PDM = Format("pdm")
FORMATS = [
    I2S,
    Format("i2s", channels=2, channel=1, halves_swapped=True, gain_shift=3),
    Format("i2s", channels=2, channel=0, gain_shift=8),
    PDM,
    Format("pdm", halves_swapped=True, gain_shift=4),
]

Pipe = Callable[..., bytes]


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> Pipe:
    """The C code under ASan and UBSan."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is installed")
    program = tmp_path_factory.mktemp("mic") / "pipe"
    sources = [TESTS / "c" / "pipe.c", *(LIBRARY / name for name in SOURCES)]
    command = [compiler, "-std=c99", *WARNINGS, *SANITIZERS, f"-I{LIBRARY}", "-o", str(program)]
    subprocess.run([*command, *map(str, sources)], check=True)

    def run(data: bytes, *words: object) -> bytes:
        command = [str(program), *map(str, words)]
        return subprocess.run(command, input=data, stdout=-1, check=True).stdout

    return run


def in_c(pipe: Pipe, data: bytes, form: Format, *chunks: int) -> NDArray[np.int16]:
    words = (form.kind, form.channels, form.channel, int(form.halves_swapped), form.gain_shift)
    return np.frombuffer(pipe(data, "mic", *words, *chunks), np.int16)


def worst_bits() -> bytes:
    """The bits that drive the last filter's sum to its greatest value, and to its least."""
    taps = composite()
    high = np.concatenate([np.tile([0, 1], 992), (taps[::-1] > 0).astype(int)])
    padded = [np.pad(high, (shift, -(shift + len(high)) % 512)) for shift in range(0, 64, 7)]
    both = np.concatenate([*padded, *(1 - bits for bits in padded)]).astype(np.uint8)
    return np.packbits(both).tobytes()


def adversarial(form: Format) -> dict[str, bytes]:
    rng = np.random.default_rng(7)
    size = 8 * form.sample_bytes * 25
    words = np.array([0x7FFFFFFF, 0x80000000, 0, 0xFFFFFFFF, 0x000000FF, 0x80], "<u4")
    return {
        "zeros": bytes(size),
        "ones": b"\xff" * size,
        "noise": rng.bytes(size),
        "extremes": rng.choice(words, size // 4).tobytes(),
        "square": (bytes(64) + b"\xff" * 64) * (size // 128),
        "worst": worst_bits(),
        "nothing": b"",
    }


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_c_equals_numpy(pipe: Pipe, form: Format) -> None:
    for name, data in adversarial(form).items():
        expected = microphone.convert(data, form)
        for chunks in ((160,), (1,), (3, 8, 7, 64, 9)):
            assert np.array_equal(in_c(pipe, data, form, *chunks), expected), (name, chunks)


def test_the_committed_table_is_what_python_emits() -> None:
    assert (LIBRARY / "pdm_tables.c").read_text() == pdm.emit_c()


@pytest.mark.parametrize("form", FORMATS[:2], ids=str)
def test_i2s_gives_the_samples_back(form: Format) -> None:
    """Apart from the DC block, whose mean is taken away here by a signal without one."""
    rng = np.random.default_rng(1)
    pcm = (rng.integers(0, 2, 4000) * 2 - 1).astype(np.int16) * 1000
    got = microphone.convert(microphone.i2s_bytes(pcm, form), form)
    error = got.astype(int) - np.clip(pcm.astype(int) << form.gain_shift, -32768, 32767)
    assert np.abs(error).max() < 0.4 * (1000 << form.gain_shift)
    assert np.corrcoef(got, pcm)[0, 1] > 0.99


def test_dc_goes_away() -> None:
    pcm = np.full(4000, 5000, np.int16)
    got = microphone.convert(microphone.i2s_bytes(pcm, I2S), I2S)
    assert got[0] == 5000 and np.abs(got[1500:]).max() == 0


def test_rounding_and_saturation() -> None:
    words = np.array([0x000080FF, 0x00007FFF, 0xFFFF8000, 0xFFFF7FFF], "<u4")
    alone = [microphone.convert(word.tobytes(), I2S)[0] for word in words]
    assert alone == [1, 0, 0, -1]  # half a step rounds up
    loud = np.array([0x20000000, 0xE0000000], "<u4")
    gain = Format("i2s", gain_shift=2)
    assert [microphone.convert(w.tobytes(), gain)[0] for w in loud] == [32767, -32768]


def test_levels(pipe: Pipe) -> None:
    rng = np.random.default_rng(2)
    quiet = rng.integers(-300, 300, RATE_HZ)
    sine = 32768 * np.sin(2 * np.pi * 1000 * np.arange(RATE_HZ) / RATE_HZ)
    lowest = np.full(RATE_HZ, -32768)
    all_of_it = np.concatenate([quiet, sine, lowest, np.zeros(RATE_HZ + 99)])
    pcm = np.clip(np.rint(all_of_it), -32768, 32767).astype(np.int16)
    reports = microphone.levels(pcm)
    assert [astuple(report) for report in reports[1:]] == [
        (32768, 23170, 2000),
        (32768, 32768, 16000),
        (0, 0, 0),
    ]
    lines = pipe(pcm.tobytes(), "level").decode().split()
    assert list(map(int, lines)) == list(itertools.chain(*map(astuple, reports)))


# --- the filter, measured with scipy ------------------------------------------------------------


def composite() -> NDArray[np.float64]:
    """All three filters as one, at the rate of the bits; 1.0 is full scale."""
    stages = ((pdm.CIC / 2**16, 1), (pdm.HALF_BAND / 2**14, 16), (pdm.COMPENSATION / 2**14, 32))
    taps = np.ones(1)
    for stage, spread in stages:
        wide = np.zeros((len(stage) - 1) * spread + 1)
        wide[::spread] = stage
        taps = np.convolve(taps, wide)
    return taps


def gain_db(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    signal = pytest.importorskip("scipy.signal")
    _, response = signal.freqz(composite(), worN=hz, fs=BIT_HZ)
    return 20 * np.log10(np.abs(response) + 1e-12)


def test_no_sum_overflows() -> None:
    """Every partial sum of the last filter, for any bits: sum of |weights| of what it has added."""
    first = np.convolve(pdm.CIC / 2**16, np.kron(pdm.HALF_BAND / 2**14, np.eye(1, 16)[0])[:-15])
    middle = len(pdm.COMPENSATION) // 2
    order = [(middle,), *((k, 2 * middle - k) for k in range(middle))]
    taps = np.zeros(len(first) + 32 * (len(pdm.COMPENSATION) - 1))
    for pair in order:
        for k in pair:
            taps[32 * k : 32 * k + len(first)] += first * pdm.COMPENSATION[k]
        rounding = np.abs(pdm.COMPENSATION).sum() / 2 + 32
        assert np.abs(taps).sum() * 2**15 + rounding < 2**31
    largest = np.abs(pdm.decimate(np.frombuffer(worst_bits(), np.uint8)).astype(int)).max()
    assert 2.1 * 2**23 < largest < 2.21 * 2**23  # the bound is no exaggeration
    decay = (1 - 2**-7) ** np.arange(4000) / 2**7
    mean = np.zeros(len(composite()) + 64 * len(decay))
    for sample, weight in enumerate(decay):
        mean[64 * sample :][: len(composite())] += weight * composite()
    assert np.abs(mean).sum() < 1.01  # of full scale: the DC block's mean, for any bits


def test_passband_and_stopband() -> None:
    passband = gain_db(np.linspace(20, PASSBAND_HZ, 500))
    assert passband.max() - passband.min() < 0.05  # dB: the ripple that docs/microphone.md states
    assert np.abs(passband).max() < 0.03
    stopband = gain_db(np.linspace(STOPBAND_HZ, BIT_HZ / 2, 40_000))
    assert stopband.max() < -62
    assert gain_db(np.array([8000.0]))[0] < -11


def tone(hz: float, seconds: float = 0.4, amplitude: float = 0.5) -> NDArray[np.uint8]:
    """A sine as a modulator of order 3 sends it, packed bits."""
    n = np.arange(round(seconds * BIT_HZ) // 64 * 64)
    signal = np.rint(2**24 * amplitude * np.sin(2 * np.pi * hz * n / BIT_HZ)).astype(int)
    return np.packbits(np.array(microphone._modulate(signal.tolist(), 2**24), np.uint8))


def test_snr_of_a_tone() -> None:
    """At least 60 dB, against the same bits filtered by scipy and against a fitted sine."""
    signal = pytest.importorskip("scipy.signal")
    bits = tone(1000)
    got = pdm.decimate(bits)[200:] / 2**23
    t = np.arange(len(got)) / RATE_HZ
    basis = np.stack([np.sin(2e3 * np.pi * t), np.cos(2e3 * np.pi * t), np.ones_like(t)], axis=1)
    fit, *_ = np.linalg.lstsq(basis, got, rcond=None)
    noise = got - basis @ fit
    snr_db = 10 * np.log10((fit[0] ** 2 + fit[1] ** 2) / 2 / np.mean(noise**2))
    print(f"SNR of a 1 kHz tone at -6 dBFS: {snr_db:.1f} dB")
    assert snr_db > 76
    assert abs(np.hypot(fit[0], fit[1]) - 0.5) < 0.005
    ideal = signal.firwin(8191, 7600, fs=BIT_HZ, window=("kaiser", 9.0))
    reference = signal.fftconvolve(2.0 * np.unpackbits(bits) - 1, ideal, "same")[::64]
    band = signal.firwin(401, 6500, fs=RATE_HZ)
    a, b = (signal.fftconvolve(x - x.mean(), band, "valid") for x in (got, reference))
    delay = float(np.argmax(signal.correlate(a[:2000], b[:2000]))) - 1999
    spectra = [np.abs(np.fft.rfft(x[:4096] * np.hanning(4096))) for x in (a, b)]
    peak = spectra[1].max()
    assert abs(delay) < 300
    assert np.abs(spectra[0] - spectra[1]).max() < peak * 10 ** (-40 / 20)


@pytest.mark.parametrize("hz", [8500, 9000, 11_000, 15_000, 17_000, 31_000, 56_500, 63_000, 65_000])
def test_alias_rejection(hz: float) -> None:
    """A tone above 8 kHz that folds into the band is 60 dB down."""
    folded = abs((hz + RATE_HZ / 2) % RATE_HZ - RATE_HZ / 2)
    got = pdm.decimate(tone(hz))[200:6200] / 2**23
    t = np.arange(len(got)) / RATE_HZ
    left = 2 * abs(np.mean(got * np.exp(-2j * np.pi * folded * t) * np.hanning(len(t)) * 2))
    print(f"{hz} Hz -> {folded} Hz: {20 * np.log10(left / 0.5 + 1e-9):.1f} dB")
    assert left < 0.5 * 10 ** (-60 / 20)


@pytest.mark.skipif(shutil.which(cortex.COMPILER) is None, reason="no arm-none-eabi-gcc")
def test_what_pdm_costs(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Instructions per second of audio, filters, DC block and gain together; equal to numpy."""
    pytest.importorskip("unicorn")
    pytest.importorskip("elftools")
    cpu = "cortex-m4"
    machine = cortex.Machine(cortex.link(tmp_path, cortex.compile_runtime(tmp_path, cpu), cpu), cpu)
    bits = np.random.default_rng(8).bytes(8 * 1600)
    machine.instructions()
    assert machine.pdm(bits) == microphone.convert(bits, PDM).astype(int).sum()
    cost = 10 * sum(machine.instructions().values())
    record_property("instructions", cost)
    print(f"{cpu}: PDM {cost} instructions per second of audio")
    assert cost < 15_000_000


def test_a_pdm_microphone_hears_what_was_played() -> None:
    rng = np.random.default_rng(5)
    t = np.arange(8000) / RATE_HZ
    pcm = np.rint(1500 * np.sin(2 * np.pi * 440 * t) + rng.normal(0, 5, 8000)).astype(np.int16)
    for form in (PDM, FORMATS[4]):
        got = microphone.convert(microphone.pdm_bytes(pcm, form), form).astype(float)
        alike = [np.corrcoef(got[d + 1000 :][:5000], pcm[1000:6000])[0, 1] for d in range(40)]
        assert max(alike) > 0.99  # the delay is no whole number of samples
        assert abs(got[2000:].std() / pcm.std() / 2**form.gain_shift - 1) < 0.05

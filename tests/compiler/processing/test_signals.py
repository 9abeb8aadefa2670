"""Signal steps against the textbook, written here once more in float64 and with loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limosa_compiler.errors import StepRefused
from limosa_compiler.processing.steps.frames import window_of
from limosa_compiler.processing.steps.mel import hz_of_mel, mel_bank, mel_of_hz
from limosa_contracts.errors import InvalidField
from limosa_contracts.json_value import JsonValue
from tests.compiler.processing.attached import Array, attached, before, passing, processing_of, run

RATE = 16000
PER_NATURAL = {"natural": 1.0, "log10": 1 / math.log(10), "db": 10 / math.log(10)}


def tones(samples: int = 8000, *, rows: int = 2) -> Array:
    """Two tones and noise 60 dB below them: float32 [rows, samples]."""
    rng = np.random.default_rng(3)
    t = np.arange(samples) / RATE
    clean = 0.5 * np.sin(2 * np.pi * 440 * t) + 0.2 * np.sin(2 * np.pi * 3100 * t)
    return (clean + rng.normal(scale=5e-4, size=(rows, samples))).astype(np.float32)


def frames_by_loop(x: Array, length: int, hop: int) -> Array:
    """[N, frames, length]"""
    starts = range(0, x.shape[1] - length + 1, hop)
    return np.stack([x[:, start : start + length] for start in starts], axis=1)


def power_by_definition(frames: Array, fft_size: int) -> Array:
    """|X[k]|², X[k] = Σ x[n] · exp(-2πi·k·n / fft_size)"""
    n = np.arange(frames.shape[-1])
    waves = np.exp(-2j * np.pi * np.outer(n, np.arange(fft_size // 2 + 1)) / fft_size)
    return np.abs(frames.astype(np.float64) @ waves) ** 2


@settings(max_examples=30, deadline=None)
@given(length=st.integers(1, 60), hop=st.integers(1, 60), spare=st.integers(0, 100), known=st.booleans())
def test_frames_are_the_same_samples(length: int, hop: int, spare: int, known: bool) -> None:
    x = np.random.default_rng(0).normal(size=(2, length + spare)).astype(np.float32)
    step: dict[str, JsonValue] = {"step": "frame", "length": length, "hop": hop}
    if known:
        step["samples"] = length + spare
    got = before(x, step, takes=("float32", ["N", None, length]))
    np.testing.assert_array_equal(got, frames_by_loop(x, length, hop))


@pytest.mark.parametrize(("pad", "numpy_mode"), [("zero", "constant"), ("reflect", "reflect")])
def test_centred_frames_pad_half_a_frame_at_both_ends(pad: str, numpy_mode: str) -> None:
    x = tones(500)
    got = before(
        x, {"step": "frame", "length": 64, "hop": 16, "pad": pad}, takes=("float32", ["N", None, 64])
    )
    padded = np.pad(x, ((0, 0), (32, 32)), mode=numpy_mode)  # type: ignore[call-overload]  # a text here
    np.testing.assert_array_equal(got, frames_by_loop(padded, 64, 16))


@pytest.mark.parametrize("kind", ["hann", "hamming"])
def test_windows_are_numpys_where_symmetric_and_one_longer_where_periodic(kind: str) -> None:
    by_numpy = {"hann": np.hanning, "hamming": np.hamming}[kind]
    np.testing.assert_allclose(window_of(kind, 40, 40, periodic=False), by_numpy(40), atol=1e-12)
    np.testing.assert_allclose(window_of(kind, 40, 40), by_numpy(41)[:-1], atol=1e-12)
    centred = window_of(kind, 40, 64)
    assert not centred[:12].any()
    assert not centred[52:].any()
    np.testing.assert_array_equal(centred[12:52], window_of(kind, 40, 40))


@pytest.mark.parametrize(
    ("fft_size", "transform"), [(512, "fft"), (512, "matrix"), (400, "auto"), (512, "auto")]
)
@pytest.mark.parametrize("known", [False, True])
def test_a_spectrum_is_the_textbooks_within_a_millionth_of_the_peak(
    fft_size: int, transform: str, known: bool
) -> None:
    x = tones()
    got = before(
        x,
        {"step": "frame", "length": 400, "hop": 160, "samples": 8000 if known else 0},
        {"step": "window", "kind": "hamming"},
        {"step": "power_spectrum", "fft_size": fft_size, "transform": transform},
        takes=("float32", ["N", None, fft_size // 2 + 1]),
    )
    expected = power_by_definition(frames_by_loop(x, 400, 160) * window_of("hamming", 400, 400), fft_size)
    assert np.abs(got - expected).max() <= 1e-6 * expected.max()


def test_mel_scales_are_the_published_ones() -> None:
    """HTK: 1000 Hz is 1000 mel. Slaney: 15 mel at 1000 Hz, and 27 steps to 6400 Hz."""
    assert mel_of_hz(np.array(1000.0), "htk") == pytest.approx(999.99, abs=0.01)
    assert mel_of_hz(np.array([1000.0, 6400.0]), "slaney").tolist() == pytest.approx([15.0, 42.0])
    hz = np.linspace(0, 8000, 101)
    for formula in ("htk", "slaney"):
        np.testing.assert_allclose(hz_of_mel(mel_of_hz(hz, formula), formula), hz, atol=1e-9)


@pytest.mark.parametrize("formula", ["htk", "slaney"])
def test_triangles_rise_and_fall_between_neighbours(formula: str) -> None:
    bank = mel_bank(257, sample_rate=RATE, mels=20, low_hz=100, high_hz=7000, formula=formula, area="none")
    low_mel, high_mel = mel_of_hz(np.array([100.0, 7000.0]), formula).tolist()
    edges = hz_of_mel(np.linspace(low_mel, high_mel, 22), formula)
    for mel in range(20):
        low, peak, high = edges[mel : mel + 3]
        for k in range(257):
            hz = k * RATE / 512
            want = (hz - low) / (peak - low) if hz <= peak else (high - hz) / (high - peak)
            assert bank[k, mel] == pytest.approx(max(0.0, want), abs=1e-9)
    areas = mel_bank(257, sample_rate=RATE, mels=20, low_hz=100, high_hz=7000, formula=formula, area="slaney")
    np.testing.assert_allclose(areas, bank * 2 / (edges[2:] - edges[:-2]))


def log_mel_by_definition(x: Array, *, pad: str, log: str) -> Array:
    if pad != "none":
        x = np.pad(x, ((0, 0), (256, 256)), mode="constant" if pad == "zero" else "reflect")
    power = power_by_definition(frames_by_loop(x, 512, 160) * window_of("hann", 400, 512), 512)
    bank = mel_bank(257, sample_rate=RATE, mels=40, low_hz=20, high_hz=8000, formula="slaney", area="slaney")
    mel = np.maximum(power @ bank, 1e-10)
    return np.asarray(np.log(mel) * PER_NATURAL[log])


LOG_MEL: dict[str, JsonValue] = {
    "step": "log_mel",
    "sample_rate": RATE,
    "fft_size": 512,
    "window_length": 400,
    "hop": 160,
    "mels": 40,
    "low_hz": 20,
    "formula": "slaney",
    "area": "slaney",
}


@pytest.mark.parametrize("transform", ["fft", "matrix"])
@pytest.mark.parametrize(("pad", "log"), [("none", "natural"), ("zero", "db"), ("reflect", "log10")])
def test_log_mel_is_what_training_computed(pad: str, log: str, transform: str) -> None:
    x = tones()
    step = {**LOG_MEL, "pad": pad, "log": log, "transform": transform}
    got = before(x, step, takes=("float32", ["N", None, 40]))
    np.testing.assert_allclose(got, log_mel_by_definition(x, pad=pad, log=log), atol=2e-3 * PER_NATURAL[log])


def test_mfcc_is_the_dct_of_log_mel() -> None:
    x = tones()
    got = before(x, {**LOG_MEL, "step": "mfcc", "coefficients": 13}, takes=("float32", ["N", None, 13]))
    mel = log_mel_by_definition(x, pad="none", log="natural")
    expected = np.zeros_like(got, dtype=np.float64)
    for k in range(13):
        scale = math.sqrt((1 if k == 0 else 2) / 40)
        expected[..., k] = scale * sum(
            mel[..., n] * math.cos(math.pi * (n + 0.5) * k / 40) for n in range(40)
        )
    np.testing.assert_allclose(got, expected, atol=5e-3)


def test_rows_are_normalised_by_their_own_time() -> None:
    x = np.random.default_rng(0).normal(3, 5, size=(2, 50, 6)).astype(np.float32)
    got = before(x, {"step": "normalize_row", "axes": [1]}, takes=("float32", ["N", 50, 6]))
    np.testing.assert_allclose(got, (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True), atol=1e-5)


def test_a_small_model_stays_small_with_its_log_mel() -> None:
    """A matrix of sines would be larger than many a keyword spotter."""
    model = passing({"x": ("float32", ["N", None, 40])})
    small = len(attached(model, pre=[LOG_MEL]).SerializeToString())
    large = len(attached(model, pre=[{**LOG_MEL, "transform": "matrix"}]).SerializeToString())
    assert small < 60_000
    assert large > 1_000_000


def test_the_number_of_samples_may_be_free_or_told() -> None:
    model = passing({"x": ("float32", ["N", None, 40])})
    free = attached(model, pre=[LOG_MEL])
    told = attached(model, pre=[{**LOG_MEL, "samples": 8000}])
    dims = [one.graph.input[0].type.tensor_type.shape.dim[1].dim_value for one in (free, told)]
    assert dims == [0, 8000]
    x = tones(8000)
    np.testing.assert_array_equal(run(free, x=x)["x_out"], run(told, x=x)["x_out"])
    assert run(free, x=tones(1000))["x_out"].shape == (2, 4, 40)


@pytest.mark.parametrize(
    "step",
    [
        {"step": "frame", "length": 400, "hop": -160},
        {"step": "frame", "length": 400, "hop": 0},
        {"step": "frame", "length": 10**9, "hop": 1},
        {"step": "frame", "length": 400, "hop": 160, "samples": 399},
        {"step": "power_spectrum", "fft_size": 511},
        {"step": "power_spectrum", "fft_size": 4096, "transform": "matrix"},
        {"step": "power_spectrum", "fft_size": 10**9},
        {**LOG_MEL, "fft_size": 256},
        {**LOG_MEL, "high_hz": 9000},
        {**LOG_MEL, "low_hz": 8000},
        {**LOG_MEL, "mels": 0},
        {**LOG_MEL, "floor": 0},
        {**LOG_MEL, "floor": float("nan")},
        {**LOG_MEL, "frame_length": 1024},
        {**LOG_MEL, "step": "mfcc", "coefficients": 41},
        {"step": "moving_average", "length": 0},
        {"step": "magnitude", "channels": [3], "width": 3},
        {"step": "map", "keys": ["a", "a"]},
        {"step": "one_hot", "classes": 10**9},
    ],
)
def test_parameters_that_make_no_sense_are_refused(step: dict[str, JsonValue]) -> None:
    with pytest.raises(InvalidField):
        processing_of(pre=[step])


@pytest.mark.parametrize(
    ("takes", "step"),
    [
        (("float32", ["N", None, 41]), LOG_MEL),
        (("float32", ["N", 40]), LOG_MEL),
        (("float32", ["N", 99, 40]), {**LOG_MEL, "samples": 8000}),
        (("float32", ["N", None, 40]), {**LOG_MEL, "mels": 40, "fft_size": 512, "high_hz": 300}),
        (("float32", ["N", None, 129]), {"step": "power_spectrum", "fft_size": 512}),
    ],
)
def test_steps_that_do_not_fit_the_model_are_refused(
    takes: tuple[str, list[int | str | None]], step: dict[str, JsonValue]
) -> None:
    with pytest.raises(StepRefused) as refused:
        attached(passing({"x": takes}), pre=[step])
    assert refused.value.where == "preprocess[0]"

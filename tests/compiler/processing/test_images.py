"""Image steps against Pillow and numpy, on real pictures' sizes and awkward ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from limosa_compiler.errors import ModelRefused, StepRefused
from limosa_contracts.errors import InvalidField
from limosa_contracts.json_value import JsonValue
from tests.compiler.processing.attached import Array, attached, before, passing, processing_of, run

PILLOW = {
    "linear": Image.Resampling.BILINEAR,
    "cubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


def picture(height: int, width: int, *, rows: int = 2, seed: int = 0) -> Array:
    """Smooth surfaces with edges and some noise: uint8 [rows, height, width, 3]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (5 + k) + y / (9 - k)) * 90 + 120 + 60 * (x > width // 2) for k in range(3)]
    noise = rng.normal(scale=12, size=(rows, height, width, 3))
    return np.clip(np.stack(waves, axis=-1)[None] + noise, 0, 255).astype(np.uint8)


def by_pillow(images: Array, height: int, width: int, mode: str) -> Array:
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((width, height), PILLOW[mode])) for image in images]
    )


@pytest.mark.parametrize("mode", PILLOW)
@pytest.mark.parametrize("size", [(100, 140), (20, 30), (33, 91), (240, 200), (32, 48)])
def test_what_pillow_resized_in_training_is_resized_alike_on_the_device(
    mode: str, size: tuple[int, int]
) -> None:
    images = picture(*size)
    got = before(
        images,
        {"step": "resize", "height": 32, "width": 48, "mode": mode},
        takes=("uint8", ["N", 32, 48, 3]),
    )
    distance = np.abs(got.astype(int) - by_pillow(images, 32, 48, mode))
    assert distance.max() <= (0 if mode == "nearest" else 1)
    assert distance.mean() < 0.1


SIDES = st.tuples(st.integers(1, 90), st.integers(1, 90))


@settings(max_examples=25, deadline=None)
@given(have=SIDES, want=SIDES)
def test_any_size_to_any_size_is_within_two_of_pillow(have: tuple[int, int], want: tuple[int, int]) -> None:
    images = picture(*have, rows=1)
    step: dict[str, JsonValue] = {"step": "resize", "height": want[0], "width": want[1]}
    got = before(images, step, takes=("uint8", ["N", *want, 3]))
    distance = np.abs(got.astype(int) - by_pillow(images, *want, "linear"))
    assert distance.max() <= 2
    assert distance.mean() <= 0.3


@settings(max_examples=25, deadline=None)
@given(have=SIDES, want=SIDES)
def test_nearest_takes_the_pixel_under_the_middle_or_either_of_two_that_are_equally_near(
    have: tuple[int, int], want: tuple[int, int]
) -> None:
    images = picture(*have, rows=1)
    step: dict[str, JsonValue] = {"step": "resize", "height": want[0], "width": want[1], "mode": "nearest"}
    got = before(images, step, takes=("uint8", ["N", *want, 3]))
    fits = np.zeros(got.shape, bool)
    for y in (-1e-5, 1e-5):
        for x in (-1e-5, 1e-5):
            rows, columns = (
                np.clip(np.floor((np.arange(new) + 0.5) * old / new + shift), 0, old - 1).astype(int)
                for new, old, shift in zip(want, have, (y, x), strict=True)
            )
            fits |= got == images[:, rows][:, :, columns]
    assert fits.all()


def test_without_antialias_resize_is_plain_interpolation_at_half_pixels() -> None:
    """As OpenCV and torch do: two neighbours on each axis, however much smaller the result is."""
    images = picture(64, 96).astype(np.float32)
    got = before(
        images,
        {"step": "resize", "height": 16, "width": 40, "antialias": False},
        takes=("float32", ["N", 16, 40, 3]),
    )
    np.testing.assert_allclose(got, interpolated(interpolated(images, 1, 16), 2, 40), atol=2e-3)


def interpolated(images: Array, axis: int, size: int) -> Array:
    have = images.shape[axis]
    at = np.clip((np.arange(size) + 0.5) * have / size - 0.5, 0, have - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, have - 1)
    share = (at - low).reshape([-1 if i == axis else 1 for i in range(4)])
    return np.asarray(images.take(low, axis) * (1 - share) + images.take(high, axis) * share)


def test_cubic_without_antialias_is_the_cubic_of_opencv_and_torch() -> None:
    images = picture(20, 24).astype(np.float32).transpose(0, 3, 1, 2).copy()
    got = before(
        images,
        {"step": "resize", "height": 20, "width": 60, "mode": "cubic", "antialias": False, "layout": "NCHW"},
        takes=("float32", ["N", 3, 20, 60]),
    )
    at = (np.arange(60) + 0.5) * 24 / 60 - 0.5
    expected = np.zeros_like(got, dtype=np.float64)
    for tap in range(-1, 3):
        low = np.floor(at).astype(int)
        expected += images[..., np.clip(low + tap, 0, 23)] * keys_kernel(at - low - tap)
    np.testing.assert_allclose(got, expected, atol=2e-3)


def keys_kernel(x: Array, a: float = -0.75) -> Array:
    """Keys, Cubic convolution interpolation (1981)."""
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


@pytest.mark.parametrize("size", [(60, 30), (30, 60), (47, 47), (200, 31)])
def test_letterbox_keeps_the_aspect_and_pads_evenly(size: tuple[int, int]) -> None:
    images = picture(*size)
    got = before(
        images,
        {"step": "resize", "height": 40, "width": 40, "fit": "letterbox", "fill": 114},
        takes=("uint8", ["N", 40, 40, 3]),
    )
    ratio = min(40 / size[0], 40 / size[1])
    height, width = (int(side * ratio + 0.5) for side in size)
    top, left = (40 - height) // 2, (40 - width) // 2
    expected = np.full((2, 40, 40, 3), 114, np.uint8)
    expected[:, top : top + height, left : left + width] = by_pillow(images, height, width, "linear")
    assert np.abs(got.astype(int) - expected).max() <= 1


def test_cover_keeps_the_aspect_and_cuts_evenly() -> None:
    images = picture(60, 90)
    got = before(
        images,
        {"step": "resize", "height": 30, "width": 30, "fit": "cover"},
        takes=("uint8", ["N", 30, 30, 3]),
    )
    expected = by_pillow(images, 30, 45, "linear")[:, :, 7:37]
    assert np.abs(got.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_grey_is_exactly_pillows_grey(layout: str, order: str) -> None:
    images = picture(31, 17)
    expected = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])[..., None]
    given_images = images if order == "RGB" else images[..., ::-1]
    takes = ["N", None, None, 1]
    if layout == "NCHW":
        given_images, expected = (array.transpose(0, 3, 1, 2) for array in (given_images, expected))
        takes = ["N", 1, None, None]
    got = before(
        np.ascontiguousarray(given_images),
        {"step": "grayscale", "layout": layout, "order": order},
        takes=("uint8", takes),
    )
    np.testing.assert_array_equal(got, expected)


def test_the_usual_chain_of_torchvision_gives_the_same_floats() -> None:
    """Resize, ToTensor, Normalize: every step after the resize is exact."""
    images = picture(50, 70)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    got = before(
        images,
        {"step": "resize", "height": 50, "width": 70},
        {"step": "crop", "height": 40, "width": 40},
        {"step": "cast"},
        {"step": "scale", "divisor": 255},
        {"step": "normalize", "mean": list(mean), "std": list(std)},
        {"step": "layout"},
        takes=("float32", ["N", 3, 40, 40]),
    )
    cut = images[:, 5:45, 15:55].astype(np.float32)
    expected = (cut / np.float32(255) - np.array(mean, np.float32)) / np.array(std, np.float32)
    np.testing.assert_array_equal(got, expected.transpose(0, 3, 1, 2))


def test_blue_green_red_models_get_their_order() -> None:
    images = picture(8, 9)
    got = before(images, {"step": "swap_channels"}, takes=("uint8", ["N", None, None, 3]))
    np.testing.assert_array_equal(got, images[..., ::-1])


def test_an_image_smaller_than_the_crop_is_refused_when_it_comes() -> None:
    model = attached(
        passing({"x": ("uint8", ["N", 20, 20, 3])}), pre=[{"step": "crop", "height": 20, "width": 20}]
    )
    assert run(model, x=picture(20, 25))["x_out"].shape == (2, 20, 20, 3)
    with pytest.raises(ModelRefused):
        run(model, x=picture(19, 25))


@pytest.mark.parametrize(
    "step",
    [
        {"step": "resize", "height": 10**9, "width": 10},
        {"step": "resize", "height": 0, "width": 10},
        {"step": "resize", "height": -3, "width": 10},
        {"step": "resize", "height": 10},
        {"step": "resize", "height": 10, "width": 10, "mode": "lanczos"},
        {"step": "resize", "height": 10, "width": 10, "mode": "cubic", "antialias": False},
        {"step": "resize", "height": 10, "width": 10, "fill": float("nan")},
        {"step": "normalize", "mean": [float("nan")], "std": [1]},
        {"step": "normalize", "mean": [0], "std": [0]},
        {"step": "normalize", "mean": [0], "std": [-1]},
        {"step": "normalize", "mean": [0, 0], "std": [1, 1, 1]},
        {"step": "normalize", "mean": [], "std": [1]},
        {"step": "normalize", "mean": [0.0] * 5000, "std": [1]},
        {"step": "normalize", "mean": [1e40], "std": [1]},
        {"step": "scale", "divisor": 0},
        {"step": "swap_channels", "order": [0, 0, 1]},
        {"step": "transpose", "order": [1, 0]},
        {"step": "clip", "low": 2, "high": 1},
        {"step": "cast", "to": "complex64"},
        {"step": "cast", "form": "uint8"},
        {"step": "resise", "height": 10, "width": 10},
    ],
)
def test_parameters_that_make_no_sense_are_refused_where_they_stand(step: dict[str, JsonValue]) -> None:
    with pytest.raises(InvalidField) as refused:
        processing_of(pre=[{"step": "cast"}, step])
    assert refused.value.where.startswith("preprocess[1]")


@pytest.mark.parametrize(
    ("takes", "steps", "position"),
    [
        (("float32", ["N", 10]), [{"step": "resize", "height": 8, "width": 8}], 0),
        (("float32", ["N", 10, 10, 3]), [{"step": "resize", "height": 8, "width": 8}], 0),
        (("int32", ["N", 8, 8, 3]), [{"step": "resize", "height": 8, "width": 8}], 0),
        (("float32", ["N", 8, 8, 3]), [{"step": "cast"}, {"step": "cast", "to": "int32"}], 1),
        (
            ("float32", ["N", 8, 8, 3]),
            [{"step": "cast"}, {"step": "normalize", "mean": [1, 2], "std": [1]}],
            1,
        ),
        (("float32", ["N", 8, 8, 3]), [{"step": "normalize", "mean": [1], "std": [1], "axis": 0}], 0),
        (("float32", ["N", 8, 8, 3]), [{"step": "grayscale"}], 0),
    ],
)
def test_steps_that_do_not_fit_are_refused_with_their_place(
    takes: tuple[str, list[int | str | None]], steps: list[dict[str, JsonValue]], position: int
) -> None:
    with pytest.raises(StepRefused) as refused:
        attached(passing({"x": takes}), pre=steps)
    assert refused.value.code == "LM-144"
    assert refused.value.where == f"preprocess[{position}]"
    assert refused.value.why

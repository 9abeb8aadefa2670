"""Postprocessing: scores, detections, recognised texts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limosa_compiler.errors import StepRefused
from limosa_contracts.errors import InvalidField
from limosa_contracts.json_value import JsonValue
from tests.compiler.processing.attached import Array, after, attached, passing, processing_of, run

LOGITS = np.random.default_rng(2).normal(scale=3, size=(5, 7)).astype(np.float32)
SUMS = np.exp(LOGITS.astype(np.float64)).sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"step": "softmax"}, np.exp(LOGITS) / SUMS),
        ({"step": "log_softmax"}, LOGITS - np.log(SUMS)),
        ({"step": "sigmoid"}, 1 / (1 + np.exp(-LOGITS))),
        ({"step": "argmax"}, LOGITS.argmax(axis=1)),
        ({"step": "threshold", "value": 0.5}, LOGITS >= 0.5),
        ({"step": "temperature", "value": 2}, LOGITS / 2),
        ({"step": "scale", "factor": 40, "offset": 20}, LOGITS * np.float32(40) + np.float32(20)),
        ({"step": "clip", "low": -1, "high": 1}, LOGITS.clip(-1, 1)),
        ({"step": "unsqueeze", "axis": 1}, LOGITS[:, None]),
        ({"step": "reshape", "shape": [7, -1]}, LOGITS[:, :, None]),
        ({"step": "cast", "to": "float64"}, LOGITS.astype(np.float64)),
    ],
)
def test_a_step_gives_what_its_formula_gives(step: dict[str, JsonValue], expected: Array) -> None:
    got = after(LOGITS, step)
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-7)
    assert got.shape == expected.shape


def test_a_temperature_before_softmax() -> None:
    got = after(LOGITS, {"step": "temperature", "value": 1.7}, {"step": "softmax"})
    soft = np.exp(LOGITS / 1.7)
    np.testing.assert_allclose(got, soft / soft.sum(axis=1, keepdims=True), rtol=1e-5)


def test_the_best_three_and_where_they_were() -> None:
    model = attached(passing({"x": ("float32", ["N", 7])}), post=[{"step": "top_k", "k": 3}])
    got = run(model, x=LOGITS)
    order = np.argsort(-LOGITS, axis=1)[:, :3]
    np.testing.assert_array_equal(got["x_out_index"], order)
    np.testing.assert_array_equal(got["x_out"], np.take_along_axis(LOGITS, order, axis=1))


def test_probabilities_and_the_class_of_them_are_two_outputs() -> None:
    model = attached(
        passing({"x": ("float32", ["N", 7])}),
        post=[{"step": "softmax"}, {"step": "argmax", "as": "label", "output": "x_out"}],
    )
    got = run(model, x=LOGITS)
    assert list(got) == ["x_out", "label"]
    np.testing.assert_allclose(got["x_out"].sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(got["label"], LOGITS.argmax(axis=1))


def test_logits_stay_where_the_result_has_a_name_of_its_own() -> None:
    model = attached(passing({"x": ("float32", ["N", 7])}), post=[{"step": "softmax", "as": "p"}])
    got = run(model, x=LOGITS)
    np.testing.assert_array_equal(got["x_out"], LOGITS)
    np.testing.assert_allclose(got["p"], np.exp(LOGITS) / SUMS, rtol=2e-6)


@settings(max_examples=40, deadline=None)
@given(path=st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=4))
def test_a_ctc_path_loses_repeats_and_blanks(path: list[list[int]]) -> None:
    x = np.eye(4, dtype=np.float32)[np.array(path)]
    got = after(x, {"step": "ctc_greedy"})
    for row, steps in zip(got, path, strict=True):
        kept = [k for k, _ in itertools.groupby(steps) if k != 0]
        assert row.tolist() == kept + [-1] * (6 - len(kept))


def overlap(a: Array, b: Array) -> float:
    """Intersection over union of two boxes x1, y1, x2, y2."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inside = float(np.prod(np.maximum(high - low, 0)))
    union = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - inside
    return inside / union if union > 0 else 0.0


def nms_by_loop(boxes: Array, scores: Array, *, limit: float, least: float, rows: int) -> Array:
    """One image: boxes [M, 4] of corners, scores [C, M]."""
    found: list[list[float]] = []
    for label, row in enumerate(scores):
        kept: list[int] = []
        for i in np.argsort(-row, kind="stable"):
            if row[i] > least and all(overlap(boxes[i], boxes[j]) <= limit for j in kept):
                kept.append(int(i))
        found += [[*boxes[i].tolist(), float(row[i]), float(label)] for i in kept]
    found.sort(key=lambda one: -one[4])
    return np.array((found + [[-1.0] * 6] * rows)[:rows], np.float32)


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("form", ["corners", "center"])
@pytest.mark.parametrize("rows", [5, 200])
def test_detections_are_those_of_the_plain_loop_row_by_row(images: int, form: str, rows: int) -> None:
    rng = np.random.default_rng(images)
    corner = rng.uniform(0, 80, size=(images, 40, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, size=(images, 40, 2))], axis=2).astype(
        np.float32
    )
    scores = rng.uniform(size=(images, 3, 40)).astype(np.float32)
    given_boxes = boxes
    if form == "center":
        given_boxes = np.concatenate(
            [(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], axis=2
        )
    model = attached(
        passing({"boxes": ("float32", ["N", None, 4]), "scores": ("float32", ["N", 3, None])}),
        post=[
            {
                "step": "nms",
                "output": "scores_out",
                "boxes": "boxes_out",
                "as": "detections",
                "format": form,
                "detections": rows,
                "overlap": 0.4,
                "score": 0.3,
            }
        ],
    )
    got = run(model, boxes=given_boxes, scores=scores)
    assert set(got) == {"scores_out", "detections"}  # the boxes are in the detections now
    assert got["detections"].shape == (images, rows, 6)
    for i in range(images):
        expected = nms_by_loop(boxes[i], scores[i], limit=0.4, least=0.3, rows=rows)
        np.testing.assert_allclose(got["detections"][i], expected, atol=1e-4)


def test_an_image_without_detections_has_only_empty_rows() -> None:
    model = attached(
        passing({"b": ("float32", ["N", 4, 4]), "s": ("float32", ["N", 2, 4])}),
        post=[{"step": "nms", "output": "s_out", "boxes": "b_out", "detections": 3}],
    )
    boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (2, 4, 1))
    scores = np.zeros((2, 2, 4), np.float32)
    scores[1, 1, 2] = 0.9
    got = run(model, b=boxes, s=scores)["s_out"]
    assert (got[0] == -1).all()
    assert got[1].tolist()[0] == pytest.approx([0, 0, 1, 1, 0.9, 1])
    assert (got[1, 1:] == -1).all()


@pytest.mark.parametrize(
    "step",
    [
        {"step": "top_k", "k": 0},
        {"step": "top_k", "k": 10**9},
        {"step": "temperature", "value": 0},
        {"step": "nms", "boxes": "b", "detections": 10**6},
        {"step": "nms", "boxes": "b", "overlap": 1.5},
        {"step": "nms"},
        {"step": "reshape", "shape": [0, 3]},
        {"step": "reshape", "shape": [-1, -1]},
        {"step": "softmx"},
        {"step": "resize", "height": 3, "width": 3},
    ],
)
def test_parameters_that_make_no_sense_are_refused(step: dict[str, JsonValue]) -> None:
    with pytest.raises(InvalidField):
        processing_of(post=[step])


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"step": "top_k", "k": 8}, "k = 8"),
        ({"step": "softmax", "axis": 0}, "the batch"),
        ({"step": "softmax", "axis": 5}, "axis 5"),
        ({"step": "reshape", "shape": [4, 2]}, "cannot have the shape"),
        ({"step": "squeeze", "axis": 1}, "not of size 1"),
        ({"step": "ctc_greedy"}, "3 dimensions"),
        ({"step": "softmax", "output": "x_uot"}, "x_uot"),
        ({"step": "nms", "boxes": "x_out"}, "no other output"),
        ({"step": "argmax", "as": "x_out"}, "already"),
    ],
)
def test_steps_that_do_not_fit_say_why(step: dict[str, JsonValue], says: str) -> None:
    with pytest.raises(StepRefused) as refused:
        attached(passing({"x": ("float32", ["N", 7])}), post=[step])
    assert refused.value.where == "postprocess[0]"
    assert says in refused.value.why


def test_the_nearest_output_is_named() -> None:
    with pytest.raises(StepRefused) as refused:
        attached(passing({"x": ("float32", ["N", 7])}), post=[{"step": "softmax", "output": "x_uot"}])
    assert refused.value.hint == "did you mean 'x_out'?"

"""The ring counts what its rows are, however they were cut into requests (telemetry 1.2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from limosa_agent.serving.observations import Observations
from limosa_agent.serving.ring import Ring
from limosa_contracts.baseline import Baseline
from limosa_contracts.binning import Binner
from limosa_contracts.serving import FeatureSpec, Golden, Serving, TensorSpec
from tests.agent.serving.releases import baseline_of, tiny_plan

WIDTH = 3
Floats = npt.NDArray[np.float32]


def serving(shape: tuple[int, ...] = (-1, WIDTH)) -> Serving:
    spec = TensorSpec(name="x", dtype="FP32", shape=shape)
    kinds = "value" if len(shape) == 2 else "mean"
    return Serving(
        model="demo/tiny",
        version="1.0.0",
        variant="cpu",
        precision="fp32",
        runtime="onnxruntime",
        runtime_tested="1",
        model_file="model.onnx",
        inputs=(spec,),
        outputs=(TensorSpec(name="y", dtype="FP32", shape=(-1, 2)),),
        task="classification",
        probabilities="y",
        classes=("no", "yes"),
        features=tuple(
            FeatureSpec(name=f"x{i}", kind="input", tensor="x", channel=i, reduce=kinds) for i in range(WIDTH)
        ),
        golden=Golden(cases=1, absolute=0, relative=0),
    )


def baseline() -> Baseline:
    plain = baseline_of(tiny_plan())
    return Baseline(rows=1, features=plain.features, class_counts=(1, 1), confidence=plain.confidence)


def answers(rows: Floats) -> Floats:
    """Probabilities of two classes; NaN where the row holds NaN."""
    share = np.clip(np.abs(rows).sum(axis=tuple(range(1, rows.ndim))) % 1, 0, 1)
    return np.stack([1 - share, share], axis=1).astype(np.float32)


values = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 200), st.just(WIDTH)),
    elements=st.floats(-20, 20, width=32) | st.just(np.nan),
)


@settings(deadline=None, max_examples=50)
@given(values, st.lists(st.integers(1, 30), min_size=1), st.integers(1, 64))
def test_counts_do_not_depend_on_how_rows_were_cut(rows: Floats, cuts: list[int], size: int) -> None:
    ring = Ring(serving(), baseline(), rows=size, max_bytes=1 << 20)
    at = requests = 0
    while at < len(rows):
        part = rows[at : at + cuts[requests % len(cuts)]]
        ring.add({"x": part}, {"y": answers(part)}, len(part), 75_000)
        at, requests = at + len(part), requests + 1
    counts = ring.settle()
    bins, missing, sums, _ = Binner(baseline().features).count(rows)
    assert np.array_equal(counts.bins, bins)
    assert np.array_equal(counts.missing, missing)
    assert np.allclose(counts.sums, sums)
    bad = np.isnan(rows).any(axis=1)
    assert (counts.rows, counts.nan_rows, counts.unmeasured) == (len(rows), bad.sum(), 0)
    expected = np.bincount(answers(rows)[~bad].argmax(axis=1), minlength=2)
    assert np.array_equal(counts.classes, expected)
    assert counts.confidence.sum() == len(rows) - bad.sum()
    assert (counts.answered, counts.latency.sum(), counts.latency[2]) == (requests, requests, requests)


def test_rows_of_unknown_length_are_measured_at_once() -> None:
    ring = Ring(serving((-1, WIDTH, -1)), baseline(), rows=64, max_bytes=1 << 20)
    for length in (4, 9, 1):
        part = np.full((1, WIDTH, length), 2.0, np.float32)
        ring.add({"x": part}, {"y": answers(part)}, 1, 1000)
    assert ring.counts.rows == 3
    assert ring.counts.sums.tolist() == [6.0] * WIDTH


def test_large_rows_make_the_ring_shorter_not_the_device_poorer() -> None:
    ring = Ring(serving((-1, WIDTH, 10_000)), baseline(), rows=64, max_bytes=1 << 20)
    assert ring.size == (1 << 20) // (WIDTH * 10_000 * 4 + 8)


def test_answer_of_another_layout_than_declared_is_counted_and_harms_nothing() -> None:
    seen = Observations(serving(), baseline(), manifest_sha256="0" * 64, ring_rows=64, ring_max_bytes=1 << 20)
    seen.add({"x": np.ones((1, WIDTH), np.float32)}, {"y": np.ones((1, 5), np.float32)}, 1, 1000)
    snapshot = seen.snapshot()
    assert (snapshot["n"], snapshot["unmeasured"], snapshot["requests"]) == (1, 1, 1)


def test_without_a_listener_an_inference_costs_no_call_more() -> None:
    """A shadow that is not there takes nothing: the ring's own method is what is called."""
    seen = Observations(serving(), baseline(), manifest_sha256="0" * 64, ring_rows=64, ring_max_bytes=1 << 20)
    before, heard = seen.add, []
    rows = np.ones((1, WIDTH), np.float32)
    seen.listen(lambda inputs, outputs: heard.append((inputs, outputs)))
    seen.add({"x": rows}, {"y": answers(rows)}, 1, 1000)
    seen.listen(None)
    assert seen.add == before
    seen.add({"x": rows}, {"y": answers(rows)}, 1, 1000)
    assert (len(heard), seen.snapshot()["n"]) == (1, 2)

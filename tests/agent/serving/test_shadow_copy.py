"""Copies for the shadow: what was asked and answered comes out as it went in, or is refused."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from limosa_agent.serving.agreement import Agreement
from limosa_agent.serving.errors import CopyBroken
from limosa_agent.serving.shadow_copy import Copy, CopyWriter
from limosa_contracts.serving import Golden, Serving, TensorSpec

SHA = "ab" * 32
Tensors = dict[str, npt.NDArray[np.generic]]

numbers = arrays.arrays(
    dtype=st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_]),
    shape=arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)
texts = st.lists(st.text(max_size=8), max_size=4).map(lambda words: np.array(words, dtype=object))
tensors = st.dictionaries(st.text(min_size=1, max_size=16), st.one_of(numbers, texts), max_size=4)


def written(inputs: Tensors, outputs: Tensors, *, dropped: int = 0) -> bytes:
    writer = CopyWriter(model="demo/tiny", active=SHA, generation=7)
    return b"".join(bytes(piece) for piece in writer.pieces(inputs, outputs, dropped=dropped))


def assert_same(got: Mapping[str, npt.NDArray[np.generic]], want: Tensors) -> None:
    assert list(got) == list(want)
    for name, array in want.items():
        assert got[name].dtype == array.dtype
        assert got[name].shape == array.shape
        if array.dtype.kind == "O":
            assert got[name].tolist() == array.tolist()
        else:
            assert got[name].tobytes() == array.tobytes()


@given(inputs=tensors, outputs=tensors, dropped=st.integers(0, 2**64 - 1))
def test_copy_comes_out_as_it_went_in(inputs: Tensors, outputs: Tensors, dropped: int) -> None:
    copy = Copy.parse(written(inputs, outputs, dropped=dropped))
    assert (copy.model, copy.active, copy.generation, copy.dropped) == ("demo/tiny", SHA, 7, dropped)
    assert_same(copy.inputs, inputs)
    assert_same(copy.outputs, outputs)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_copy_are_refused(data: bytes) -> None:
    with pytest.raises(CopyBroken):
        Copy.parse(data)


@given(at=st.integers(0, 400), bit=st.integers(0, 7), cut=st.integers(0, 400))
def test_damaged_copy_is_read_or_refused_and_nothing_else(at: int, bit: int, cut: int) -> None:
    """One flipped bit may be another number of the same shape; it is never an error of another kind."""
    whole = bytearray(written({"x": np.ones((2, 3), np.float32)}, {"y": np.ones((2, 1), np.float32)}))
    whole[at % len(whole)] ^= 1 << bit
    for data in (bytes(whole), bytes(whole[: cut % len(whole)])):
        try:
            copy = Copy.parse(data)
        except CopyBroken:
            continue
        assert copy.inputs.keys() | copy.outputs.keys()


def test_layout_of_a_copy_is_what_it_was() -> None:
    """Workers of one agent talk to each other; the layout is held still all the same."""
    copy = written({"x": np.array([[1, 2]], np.float32)}, {"y": np.array([True])}, dropped=3)
    said = (
        b'{"model":"demo/tiny","active":"' + SHA.encode() + b'",'
        b'"inputs":[{"name":"x","dtype":"FP32","shape":[1,2],"bytes":8}],'
        b'"outputs":[{"name":"y","dtype":"BOOL","shape":[1],"bytes":1}]}'
    )
    head = b"LSC1" + len(said).to_bytes(4, "little") + b"\x07\0\0\0" + b"\x03\0\0\0\0\0\0\0"
    assert copy == head + said + b"\0\0\x80?\0\0\0@" + b"\x01"


def test_views_that_are_not_contiguous_are_copied_in_order() -> None:
    table = np.arange(12, dtype=np.int64).reshape(3, 4)
    copy = Copy.parse(written({"x": table.T[::2]}, {"y": table[:, 1:2]}))
    assert_same(copy.inputs, {"x": table.T[::2]})
    assert_same(copy.outputs, {"y": table[:, 1:2]})


# -- agreement


def agreement(*, probabilities: str = "", outputs: tuple[str, ...] = ("y",)) -> Agreement:
    serving = Serving(
        model="demo/tiny",
        version="1.0.0",
        variant="cpu",
        precision="fp32",
        runtime="onnxruntime",
        runtime_tested="1.20",
        model_file="model.onnx",
        inputs=(TensorSpec(name="x", dtype="FP32", shape=(-1, 2)),),
        outputs=tuple(TensorSpec(name=name, dtype="FP32", shape=(-1, 2)) for name in outputs),
        task="other",
        probabilities=probabilities,
        classes=(),
        features=(),
        golden=Golden(cases=1, absolute=0.1, relative=0.0),
    )
    return Agreement(serving)


def table(*rows: list[float]) -> dict[str, npt.NDArray[np.generic]]:
    return {"y": np.array(rows, np.float32)}


def counted(compared: Agreement, active: Tensors, challenger: Tensors, *, rows: int) -> tuple[int, int]:
    found = compared.compare(active, challenger, rows=rows)
    return found.rows, found.disagreed


def test_sketch_says_how_sure_the_active_version_was_and_what_the_challenger_said() -> None:
    by_class = agreement(probabilities="y")
    active = table([0.05, 0.95], [0.55, 0.45], [0.52, 0.48], [float("nan"), 1.0])
    challenger = table([0.1, 0.9], [0.4, 0.6], [0.1, 0.9], [0.1, 0.9])
    found = by_class.compare(active, challenger, rows=4)
    assert (found.rows, found.disagreed) == (4, 3)
    assert found.sketch is not None
    assert found.sketch.compared == (0, 0, 0, 0, 0, 2, 0, 0, 0, 1)  # what is no number is in no bin
    assert found.sketch.disagreed == (0, 0, 0, 0, 0, 2, 0, 0, 0, 0)
    assert dict(found.sketch.pairs) == {(0, 1): 2}
    assert agreement().compare(active, challenger, rows=4).sketch is None


def test_classes_agree_whatever_their_probabilities() -> None:
    by_class = agreement(probabilities="y")
    active, challenger = table([0.1, 0.9], [0.6, 0.4], [0.5, 0.5]), table([0.4, 0.6], [0.4, 0.6], [0.9, 0.1])
    assert counted(by_class, active, challenger, rows=3) == (3, 1)
    broken = table([float("nan"), 0.6], [0.9, 0.1], [0.9, 0.1])
    assert counted(by_class, active, broken, rows=3) == (3, 1)  # what is no number agrees with nothing


def test_numbers_agree_within_the_golden_tolerance() -> None:
    by_value = agreement()
    assert counted(by_value, table([1, 2], [3, 4]), table([1.09, 2], [3, 4.2]), rows=2) == (2, 1)
    nothing = table([float("nan"), float("inf")])
    assert counted(by_value, nothing, nothing, rows=1) == (1, 0)  # both say the same
    assert counted(by_value, table([1, 2]), nothing, rows=1) == (1, 1)


def test_answers_of_another_form_are_not_compared() -> None:
    by_value = agreement()
    assert counted(by_value, table([1, 2]), table([1, 2, 3]), rows=1) == (0, 0)
    assert counted(by_value, {"z": np.ones((1, 2), np.float32)}, table([1, 2]), rows=1) == (0, 0)
    assert counted(agreement(probabilities="y"), table([1, 2]), table([1, 2], [1, 2]), rows=2) == (0, 0)


def test_texts_agree_if_they_are_equal() -> None:
    words = {"y": np.array([["a"], ["b"]], dtype=object)}
    other = {"y": np.array([["a"], ["c"]], dtype=object)}
    assert counted(agreement(), words, other, rows=2) == (2, 1)

"""Files of people as requests: what fits is sent as it is, what does not is named with its file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from limosa_agent.commands.infer_requests import (
    REQUEST_MAX_ROWS,
    InferBody,
    InputSpec,
    bodies_of,
    joined,
    specs_of,
)
from limosa_agent.errors import InputUnreadable
from limosa_agent.serving.oip_json import parse_infer_request
from limosa_agent.serving.tensor_codec import Array, arrays_of

X = InputSpec(name="x", datatype="FP32", shape=(-1, 3))
NAME = InputSpec(name="name", datatype="BYTES", shape=(-1,))


def read(body: InferBody) -> dict[str, Array]:
    cut = body.json_bytes or len(body.body)
    return arrays_of(parse_infer_request(body.body[:cut]).inputs, memoryview(body.body)[cut:])


def test_file_with_many_rows_is_asked_in_parts_and_put_together_again(tmp_path: Path) -> None:
    rows = np.arange(3 * (2 * REQUEST_MAX_ROWS + 7), dtype=np.float32).reshape(-1, 3)
    np.save(tmp_path / "x.npy", rows)
    parts = [read(body)["x"] for body in bodies_of(tmp_path / "x.npy", (X,))]
    assert [len(part) for part in parts] == [REQUEST_MAX_ROWS, REQUEST_MAX_ROWS, 7]
    answers = [
        {
            "outputs": [
                {"name": "y", "datatype": "FP32", "shape": list(part.shape), "data": part.ravel().tolist()}
            ]
        }
        for part in parts
    ]
    (output,) = joined(answers)  # type: ignore[arg-type]  # plain JSON
    assert isinstance(output, dict)
    assert (output["shape"], output["data"]) == (list(rows.shape), rows.ravel().tolist())


def test_single_row_without_its_batch_dimension_gets_it(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones(3))  # and float64 becomes what the model takes
    (body,) = bodies_of(tmp_path / "x.npy", (X,))
    assert read(body)["x"].shape == (1, 3)
    assert read(body)["x"].dtype == np.float32


def test_named_arrays_and_texts_of_one_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "all.npz", x=np.zeros((2, 3), np.float32), name=np.array(["a", "bé"]))
    (body,) = bodies_of(tmp_path / "all.npz", (X, NAME))
    arrays = read(body)
    assert arrays["name"].tolist() == ["a", "bé"]
    assert arrays["x"].shape == (2, 3)


def test_whole_request_is_sent_as_it_is(tmp_path: Path) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}
    value = {"id": "mine", "inputs": [tensor]}
    (tmp_path / "r.json").write_text(json.dumps(value))
    (body,) = bodies_of(tmp_path / "r.json", (X,))
    assert json.loads(body.body) == value
    assert body.headers == {"Content-Type": "application/json"}


def test_model_that_takes_one_fixed_row_is_asked_once(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((400, 3), np.float32))
    fixed = InputSpec(name="x", datatype="FP32", shape=(400, 3))
    assert len(list(bodies_of(tmp_path / "x.npy", (fixed,)))) == 1


WRONG: dict[str, tuple[str, Callable[[Path], object]]] = {
    "neither": ("neither .npy nor .npz", lambda path: path.write_bytes(b"no array")),
    "empty": ("neither .npy nor .npz", lambda path: path.write_bytes(b"")),
    "objects": ("neither .npy nor .npz", lambda path: np.save(path, np.array([{}]), allow_pickle=True)),
    "texts": ("holds <U1 values", lambda path: np.save(path, np.array(["a"]))),
}


@pytest.mark.parametrize("name", WRONG)
def test_file_that_does_not_fit_is_named(tmp_path: Path, name: str) -> None:
    said, write = WRONG[name]
    path = tmp_path / "x.npy"
    write(path)
    with pytest.raises(InputUnreadable, match=said) as refused:
        list(bodies_of(path, (X,)))
    assert refused.value.where == str(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", 'no "inputs"'),
        ('{"inputs": {"x": [[1], [2, 3]]}}', "ragged"),
        ('{"inputs": {"z": [1]}}', "no input 'z'"),
        ('{"inputs": {"x": ["a"]}}', "holds <U1 values"),
    ],
)
def test_json_that_does_not_fit_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(InputUnreadable, match=said):
        list(bodies_of(path, (X,)))


def test_integer_that_the_type_cannot_hold_is_refused_here(tmp_path: Path) -> None:
    np.save(tmp_path / "i.npy", np.array([300]))
    with pytest.raises(InputUnreadable, match="does not fit UINT8"):
        list(bodies_of(tmp_path / "i.npy", (InputSpec(name="i", datatype="UINT8", shape=(-1,)),)))


def test_one_array_for_a_model_with_two_inputs_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((1, 3)))
    with pytest.raises(InputUnreadable, match="2 inputs"):
        list(bodies_of(tmp_path / "x.npy", (X, NAME)))


def test_metadata_of_a_model_says_what_it_takes() -> None:
    described = {"name": "m", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]}
    assert specs_of(described) == (X,)  # type: ignore[arg-type]  # plain JSON

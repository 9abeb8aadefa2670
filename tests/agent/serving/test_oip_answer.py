"""Answers as clients read them: every value comes back, whatever its type, and however often it is asked."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from limosa_agent.serving.http_messages import Reply
from limosa_agent.serving.oip_answer import KEPT_MAX, AnswerWriter
from limosa_agent.serving.oip_json import InferRequest
from limosa_agent.serving.tensor_codec import NUMPY

Arrays = npt.NDArray[np.generic]
NUMBERS = tuple(name for name in NUMPY if name != "BYTES")
arrays = st.sampled_from(NUMBERS).flatmap(
    lambda name: hnp.arrays(
        NUMPY[name],
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        elements=hnp.from_dtype(NUMPY[name]),
    ).map(lambda array: (name, array))
)


def asked(ident: str = "", binary: bool = False, **outputs: bool) -> InferRequest:
    return InferRequest(ident, (), outputs, binary)


def writer(*outputs: str) -> AnswerWriter:
    return AnswerWriter(model="demo/tiny", version="1.0.0", outputs=outputs or ("y",))


def parts(reply: Reply) -> tuple[dict[str, Any], bytes]:
    body = b"".join(reply.body)
    cut = int(dict(reply.headers).get("Inference-Header-Content-Length", len(body)))
    value = json.loads(body[:cut])
    assert isinstance(value, dict)
    return value, body[cut:]


@given(arrays, st.text(max_size=6))
def test_values_of_every_type_come_back_from_json(case: tuple[str, Arrays], ident: str) -> None:
    name, array = case
    answers = writer()
    for _ in range(2):  # the second is written from what is known
        value, tail = parts(answers.write(asked(ident), {"y": array}))
        (output,) = value["outputs"]
        assert (output["datatype"], output["shape"], tail) == (name, list(array.shape), b"")
        assert value.get("id", "") == ident
        flat = array.ravel()
        assert len(output["data"]) == flat.size
        for got, sent in zip(output["data"], flat, strict=True):
            if array.dtype.kind == "f" and not np.isfinite(sent):
                assert got is None
            else:
                assert array.dtype.type(got) == sent


@given(arrays)
def test_values_of_every_type_come_back_from_binary(case: tuple[str, Arrays]) -> None:
    _, array = case
    value, tail = parts(writer().write(asked(binary=True), {"y": array}))
    (output,) = value["outputs"]
    assert output["parameters"] == {"binary_data_size": len(tail)}
    assert tail == array.tobytes()


def test_outputs_come_in_the_order_asked_each_in_its_own_form() -> None:
    outputs: dict[str, Arrays] = {"a": np.array([1.5], np.float32), "b": np.array(["é"], object)}
    value, tail = parts(writer("a", "b").write(asked(b=True, a=False), outputs))
    assert [item["name"] for item in value["outputs"]] == ["b", "a"]
    assert tail == b"\x02\x00\x00\x00\xc3\xa9"
    value, tail = parts(writer("a", "b").write(asked(), outputs))
    assert [item["data"] for item in value["outputs"]] == [[1.5], ["é"]]
    assert tail == b""


def test_columns_of_a_table_go_out_in_their_own_order() -> None:
    table = np.arange(6, dtype=np.float32).reshape(2, 3)
    value, _ = parts(writer().write(asked(), {"y": table.T}))
    assert value["outputs"][0]["data"] == [0, 3, 1, 4, 2, 5]


def test_shapes_without_end_do_not_fill_the_memory() -> None:
    answers = writer()
    for rows in range(3 * KEPT_MAX):
        answers.write(asked(), {"y": np.zeros(rows, np.float32)})
    assert len(answers._described) <= KEPT_MAX

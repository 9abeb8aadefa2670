"""A model that takes pictures as they come: uint8, any size, channels last, normalised inside."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import limosa_agent
from limosa_agent.serving.errors import InputShape
from limosa_agent.serving.limits import SelfTestLimits
from limosa_agent.serving.self_test import run_self_test
from limosa_contracts.serving import FeatureSpec, TensorSpec
from tests.agent.serving.conftest import StartPool
from tests.agent.serving.http_client import Client, binary
from tests.agent.serving.releases import TINY, Plan, install, make_current
from tests.support.waiting import wait_until

INFER = f"/v2/models/{TINY}/infer"
PICTURE = np.random.default_rng(0).integers(0, 256, size=(2, 5, 7, 3), dtype=np.uint8)
MEANS = PICTURE.astype(np.float64).mean(axis=(1, 2)) / 255


def picture_plan() -> Plan:
    """image uint8 [N, H, W, 3] -> mean of each colour, between 0 and 1."""
    nodes = [
        helper.make_node(
            "Cast", ["image"], ["floats"], to=TensorProto.FLOAT, name="limosa_pre/image/0.cast/0.Cast"
        ),
        helper.make_node("Div", ["floats", "most"], ["scaled"], name="limosa_pre/image/1.scale/0.Div"),
        helper.make_node("ReduceMean", ["scaled"], ["means"], axes=[1, 2], keepdims=0, name="mean"),
    ]
    graph = helper.make_graph(
        nodes,
        "picture",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.array(255, np.float32), "most")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return Plan(
        model=TINY,
        version="1.0.0",
        onnx_bytes=model.SerializeToString(),
        inputs=(TensorSpec(name="image", dtype="UINT8", shape=(-1, -1, -1, 3)),),
        outputs=(TensorSpec(name="means", dtype="FP32", shape=(-1, 3)),),
        golden={"image": np.random.default_rng(1).integers(0, 256, size=(4, 9, 8, 3), dtype=np.uint8)},
        features=tuple(
            FeatureSpec(name=f"{fold}{c}", kind="input", tensor="image", channel=c, reduce=fold, axis=-1)
            for fold in ("mean", "std")
            for c in range(3)
        ),
    )


def head(shape: tuple[int, ...], datatype: str = "UINT8", **more: object) -> dict[str, object]:
    return {"inputs": [{"name": "image", "datatype": datatype, "shape": list(shape), **more}]}


def test_its_golden_pictures_pass_the_self_test(slots: Path) -> None:
    slot = install(picture_plan(), slots)
    result = asyncio.run(run_self_test(slot.directory, SelfTestLimits()))
    assert result.ok, result
    assert result.evidence["cases"] == 4


def test_a_picture_is_answered_as_json_and_as_bytes(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(picture_plan(), slots))
    body, fields = binary(
        head(PICTURE.shape, parameters={"binary_data_size": PICTURE.nbytes}), PICTURE.tobytes()
    )
    with Client(pool.port) as client:
        texts = client.ask(
            "POST", INFER, json.dumps(head(PICTURE.shape, data=PICTURE.ravel().tolist())).encode()
        )
        raw = client.ask("POST", INFER, body, fields)
    for answer in (texts, raw):
        assert answer.status == 200, answer
        (output,) = answer.json["outputs"]
        np.testing.assert_allclose(np.reshape(output["data"], (2, 3)), MEANS, rtol=1e-5)
    wait_until(lambda: len(pool.observations) > 0, timeout_s=10, what="an observation")


@pytest.mark.parametrize(
    "request_head",
    [
        head((1, 5, 7, 4), data=[0] * 140),
        head((1, 5, 21), data=[0] * 105),
        head((1, 5, 7, 3), "FP32", data=[0.0] * 105),
        head((1, 5, 7, 3), data=[256] * 105),
        head((1, 5, 7, 3), data=[-1] * 105),
        head((1, 5, 7, 3), data=[0.5] * 105),
    ],
)
def test_what_is_no_such_picture_is_refused(
    start_pool: StartPool, slots: Path, request_head: dict[str, object]
) -> None:
    pool = start_pool(install(picture_plan(), slots))
    with Client(pool.port) as client:
        answer = client.ask("POST", INFER, json.dumps(request_head).encode())
    assert 400 <= answer.status < 500, answer


def test_in_process_pictures_of_any_size_are_taken(slots: Path) -> None:
    make_current(install(picture_plan(), slots))
    model = limosa_agent.Model(TINY, state_dir=slots)
    np.testing.assert_allclose(means_of(model, PICTURE), MEANS, rtol=1e-4)
    larger = np.full((1, 30, 40, 3), 51, np.uint8)
    np.testing.assert_allclose(means_of(model, larger), np.full((1, 3), 0.2), rtol=1e-4)
    with pytest.raises(InputShape):
        model.run({"image": larger[..., :1]})


def means_of(model: limosa_agent.Model, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    return np.asarray(model.run({"image": pictures})["means"], np.float64)

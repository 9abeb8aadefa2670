"""LiteRT on the device: the same surface, golden vectors on its own runtime before it serves (agent 5.3)."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import __version__ as litert_version

from limosa_agent.capabilities import read_capabilities
from limosa_agent.serving import runtime_litert
from limosa_agent.serving.errors import InferenceFailed, LoadFailed
from limosa_agent.serving.limits import SelfTestLimits, ServingLimits
from limosa_agent.serving.loaded_model import LoadedModel
from limosa_agent.serving.runtime_litert import LitertRuntime
from limosa_agent.serving.runtime_options import RuntimeOptions
from limosa_agent.serving.self_test import run_self_test
from limosa_agent.serving.slot_ref import SlotRef
from limosa_contracts.serving import FILE, Serving
from tests.agent.serving.conftest import StartPool
from tests.agent.serving.http_client import Client, row
from tests.agent.serving.releases import TINY, install, lay_out, spoil_golden, tiny_plan
from tests.agent.serving.tflite_models import scale_model


def install_litert(
    state_dir: Path, version: str = "2.0.0", *, factor: float = 3.0, width: int = 3, signature: bool = True
) -> SlotRef:
    plan = tiny_plan(version, factor=factor, width=width)
    plan = replace(plan, onnx_bytes=scale_model(factor, width, signature=signature))
    feed = {name: np.asarray(rows, np.float32) for name, rows in plan.golden.items()}
    results = {"y": (np.float32(factor) * feed["x"]).astype(np.float32)}
    return lay_out(plan, state_dir, feed, results, litert=litert_version)


def loaded(slot: SlotRef) -> LoadedModel:
    return LoadedModel(slot, ServingLimits())


@pytest.mark.parametrize("signature", [True, False], ids=["names of the signature", "names of tensors"])
def test_tflite_model_answers_by_name_one_row_and_a_batch(slots: Path, signature: bool) -> None:
    model = loaded(install_litert(slots, signature=signature))
    one = np.array([[1, 2, 3]], np.float32)
    assert np.array_equal(model.run({"x": one})["y"], 3 * one)
    batch = np.arange(21, dtype=np.float32).reshape(7, 3)
    assert np.array_equal(model.run({"x": batch})["y"], 3 * batch)
    assert np.array_equal(model.run({"x": one})["y"], 3 * one)
    replay = model.replay()
    assert (replay.n, replay.failed, replay.max_abs_error) == (4, 0, 0.0)


def test_switch_from_onnxruntime_to_litert_and_back_is_one_surface(
    start_pool: StartPool, slots: Path
) -> None:
    pool = start_pool(install(tiny_plan("1.0.0", factor=2.0), slots))
    pool.switch(install_litert(slots))
    with Client(pool.port) as client:
        answer = client.infer(TINY, row(1, 2, 3))
        assert (answer.json["model_version"], answer.json["outputs"][0]["data"]) == ("2.0.0", [3, 6, 9])
        assert client.ask("GET", f"/v2/models/{TINY}").json["platform"] == "tensorflow_lite"
    pool.call(pool.pool.fall_back())
    with Client(pool.port) as client:
        assert client.infer(TINY, row(1, 2, 3)).json["outputs"][0]["data"] == [2, 4, 6]


def test_golden_vectors_decide_on_the_device_s_own_runtime(slots: Path) -> None:
    slot = install_litert(slots)
    good = asyncio.run(run_self_test(slot.directory, SelfTestLimits()))
    assert (good.ok, good.evidence["cases"]) == (True, 4)
    spoil_golden(slot, lambda expected: expected + np.float32(1))
    bad = asyncio.run(run_self_test(slot.directory, SelfTestLimits()))
    assert (bad.ok, bad.reason_code) == (False, "golden_mismatch")


def test_file_that_is_no_tflite_model_does_not_load(slots: Path) -> None:
    slot = install_litert(slots)
    (Path(slot.directory) / "model.tflite").write_bytes(b"\0" * 64)
    with pytest.raises(LoadFailed, match="does not load"):
        loaded(slot)


def test_names_and_types_are_those_of_serving_json_or_it_does_not_load(slots: Path) -> None:
    slot = install_litert(slots)
    path = Path(slot.directory) / FILE
    serving = Serving.parse(path.read_bytes())
    options = RuntimeOptions()
    renamed = replace(serving, inputs=(replace(serving.inputs[0], name="z"),))
    with pytest.raises(LoadFailed, match="inputs are not those"):
        LitertRuntime(scale_model(2, 3), renamed, options)
    retyped = replace(serving, outputs=(replace(serving.outputs[0], dtype="INT8"),))
    with pytest.raises(LoadFailed, match="another type"):
        LitertRuntime(scale_model(2, 3), retyped, options)


def test_input_that_the_interpreter_refuses_is_an_error_of_that_inference_only(slots: Path) -> None:
    slot = install_litert(slots)
    runtime = LitertRuntime(
        scale_model(3, 3), Serving.parse((Path(slot.directory) / FILE).read_bytes()), RuntimeOptions()
    )
    with pytest.raises(InferenceFailed):
        runtime.run({"x": np.ones((1, 4), np.float32)})
    assert runtime.run({"x": np.ones((1, 3), np.float32)})["y"].tolist() == [[3, 3, 3]]


def test_threads_that_run_at_once_do_not_mix_their_rows(slots: Path) -> None:
    model = loaded(install_litert(slots, width=256))
    wrong: list[int] = []

    def ask(number: int) -> None:
        rows = np.full((1, 256), number, np.float32)
        wrong.extend(number for _ in range(200) if not (model.run({"x": rows})["y"] == 3 * number).all())

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []


def test_device_without_litert_says_so(slots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_litert, "INTERPRETERS", ("no_such_litert.interpreter",))
    with pytest.raises(LoadFailed, match="no LiteRT") as refused:
        loaded(install_litert(slots))
    assert "limosa[agent,litert]" in refused.value.hint


def test_device_says_which_runtimes_it_has() -> None:
    said = read_capabilities(profile="")["runtimes"]
    assert isinstance(said, dict)
    assert said["litert"] == litert_version
    assert "onnxruntime" in said

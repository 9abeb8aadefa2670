"""What the converter would change is kept, and what LiteRT gets wrong is not asked of it."""

from __future__ import annotations

import numpy as np
import onnx

from limosa_compiler.litert.check import small_model
from limosa_compiler.litert.conversion import convert, quantize, with_plain_names
from limosa_compiler.litert.runner import LitertRunner
from limosa_compiler.litert.toolchain import Toolchain
from limosa_compiler.running.runner import Runner


def renamed(names: dict[str, str]) -> onnx.ModelProto:
    model = small_model()
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    return model


def test_names_that_tensorflow_gives_survive_conversion_and_quantization(toolchain: Toolchain) -> None:
    model = renamed({"x": "input:0", "y": "scores/softmax:0"})
    x = np.random.default_rng(1).normal(size=(8, 2, 6, 6)).astype(np.float32)
    expected = Runner(model.SerializeToString()).run({"input:0": x})["scores/softmax:0"]
    fp32 = convert(toolchain, model, where="test")
    made = quantize(
        toolchain, fp32, rungs=["int8-minmax"], calibration=[{"input:0": x}, {"input:0": x[:3]}], where="test"
    )
    assert made.failed == {}
    for data, limit in ((fp32, 1e-5), (made.models["int8-minmax"], 0.1)):
        runner = LitertRunner(toolchain, data)
        assert (runner.input_names, runner.output_names) == (("input:0",), ("scores/softmax:0",))
        assert np.abs(runner.predict({"input:0": x})["scores/softmax:0"] - expected).max() < limit
        runner.close()


def test_matmul_of_int8_does_not_answer_a_constant(toolchain: Toolchain, fp32: bytes) -> None:
    """One scale per channel there makes LiteRT 2.3 give the same answer to everything, without an error."""
    x = np.random.default_rng(2).normal(size=(32, 2, 6, 6)).astype(np.float32)
    made = quantize(toolchain, fp32, rungs=["int8-minmax"], calibration=[{"x": x}], where="test")
    runner = LitertRunner(toolchain, made.models["int8-minmax"])
    assert np.ptp(runner.predict({"x": x})["y"], axis=0).max() > 0.2
    runner.close()


def test_plain_names_are_left_alone() -> None:
    model = small_model()
    assert with_plain_names(model) == (model, {})
    odd, names = with_plain_names(renamed({"x": "a b"}))
    assert names == {"limosa_0": "a b"}
    assert odd.graph.node[0].input[0] == "limosa_0"

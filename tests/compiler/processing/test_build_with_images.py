"""A build from raw pictures: what is measured, proved, watched and shipped is in their terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from limosa_compiler.artifact.archive_file import read_archive
from limosa_compiler.artifact.golden import parse_golden, worst_excess
from limosa_compiler.building import BuildResult
from limosa_compiler.processing.names import is_processing
from limosa_contracts.serving import Serving
from tests.compiler.conftest import build_from
from tests.compiler.graphs import model_of, recipe_folder
from tests.compiler.processing.attached import Array

STEPS = """
[[preprocess]]
input = "image"
step = "resize"
height = 8
width = 8

[[preprocess]]
step = "cast"

[[preprocess]]
step = "normalize"
mean = [120, 110, 100]
std = [60, 61, 62]

[[preprocess]]
step = "layout"

[[postprocess]]
step = "softmax"

[gate]
max_loss_points = 20
"""


def colour_model() -> onnx.ModelProto:
    """image float [N, 3, 8, 8] -> which of three colours is strongest, through a wide convolution."""
    kernel = np.zeros((48, 3, 3, 3), np.float32)
    for channel in range(48):
        kernel[channel, channel % 3, 1, 1] = 1.0
    head = np.zeros((48, 3), np.float32)
    head[np.arange(48), np.arange(48) % 3] = 1.0
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["maps"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["maps"], ["positive"], name="relu"),
        helper.make_node("GlobalAveragePool", ["positive"], ["means"], name="pool"),
        helper.make_node("Flatten", ["means"], ["flat"], name="flatten"),
        helper.make_node("MatMul", ["flat", "head"], ["logits"], name="head_matmul"),
    ]
    return model_of(nodes, {"kernel": kernel, "head": head}, {"image": ["N", 3, 8, 8]}, {"logits": ["N", 3]})


def pictures(count: int, *, seed: int) -> dict[str, Array]:
    """uint8 [N, 13, 11, 3] with one colour above the others."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, size=count)
    image = rng.integers(40, 160, size=(count, 13, 11, 3))
    image[np.arange(count), :, :, label] += 70
    return {"image": image.clip(0, 255).astype(np.uint8), "label": label.astype(np.int64)}


@dataclass(frozen=True)
class Shipped:
    result: BuildResult
    serving: Serving
    model: onnx.ModelProto
    golden: bytes


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    folder = tmp_path_factory.mktemp("pictures")
    recipe = recipe_folder(
        folder,
        colour_model(),
        calibration=pictures(60, seed=1),
        evaluation=pictures(400, seed=2),
        more=STEPS,
    )
    result = build_from(recipe, folder / "dist")
    archive = read_archive(result.path)
    files = archive.files(archive.variants[0])
    return Shipped(
        result=result,
        serving=Serving.parse(files["serving.json"]),
        model=onnx.load_from_string(files["model.onnx"]),
        golden=files["golden.safetensors"],
    )


def test_the_signature_is_that_of_raw_pictures_of_any_size(shipped: Shipped) -> None:
    (spec,) = shipped.serving.inputs
    assert (spec.name, spec.dtype, spec.shape) == ("image", "UINT8", (-1, -1, -1, 3))
    assert shipped.serving.probabilities == "logits"  # since softmax is part of the model


def test_golden_vectors_are_raw_pictures_and_hold_on_the_stock_runtime(shipped: Shipped) -> None:
    inputs, expected = parse_golden(shipped.golden)
    given = {picture.tobytes() for picture in pictures(400, seed=2)["image"]}
    assert (inputs["image"].dtype.name, inputs["image"].shape[1:]) == ("uint8", (13, 11, 3))
    assert {picture.tobytes() for picture in inputs["image"]} <= given  # as they were, before any step
    session = onnxruntime.InferenceSession(shipped.model.SerializeToString())
    (answers,) = session.run(None, inputs)
    assert worst_excess({"logits": answers}, expected, shipped.serving.golden) <= 0
    (wrong,) = session.run(None, {"image": 255 - inputs["image"]})
    assert worst_excess({"logits": wrong}, expected, shipped.serving.golden) > 0


def test_every_colour_is_watched(shipped: Shipped) -> None:
    watched = [feature.name for feature in shipped.serving.features if feature.kind == "input"]
    assert watched == [f"image[{c}] {fold}" for c in range(3) for fold in ("mean", "std")]
    assert {f.axis for f in shipped.serving.features if f.kind == "input"} == {-1}


def test_what_ships_is_quantized_behind_the_processing_and_not_in_it(shipped: Shipped) -> None:
    by_output = {output: node for node in shipped.model.graph.node for output in node.output}
    quantized = [node for node in shipped.model.graph.node if node.op_type == "QuantizeLinear"]
    assert shipped.serving.precision == "int8"
    assert quantized
    inside = [node for node in shipped.model.graph.node if is_processing(node.name)]
    assert {node.op_type for node in inside} >= {"Resize", "Sub", "Div", "Softmax"}
    for node in inside:
        sources = [by_output[name].op_type for name in node.input if name in by_output]
        if node.op_type not in ("Softmax", "Identity"):  # what the model gives to them may be dequantized
            assert "DequantizeLinear" not in sources, node.name


def test_passes_say_that_processing_was_attached(shipped: Shipped) -> None:
    names = [report["name"] for report in shipped.result.evidence.passes if isinstance(report, Mapping)]
    assert names.index("attach_preprocess") < names.index("attach_postprocess") < names.index("first_load")

"""Whole channels are taken out: the bookkeeping is exact, or the layer keeps them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from limosa_compiler.errors import PassFailed
from limosa_compiler.passes import Context
from limosa_compiler.pruning import prune
from limosa_compiler.recipe.prune import Kind, Norm, PruneNotes
from limosa_compiler.running.runner import Runner

CONTEXT = Context(where="m.onnx", source_bytes=1)
SIZE = 6
INPUTS = 2
CLASSES = 3
Weights = dict[str, np.ndarray[Any, Any]]


def structured(share: float = 0.5, norm: Norm = Norm.L1) -> PruneNotes:
    return PruneNotes(kind=Kind.STRUCTURED, share=share, norm=norm)


def model_of(
    nodes: list[onnx.NodeProto], weights: Weights, *, maps: dict[str, int] | None = None, flat: bool = True
) -> onnx.ModelProto:
    """`maps`: outputs that are feature maps, with their channels; `flat`: y is a row of classes."""
    shapes: dict[str, list[str | int]] = {"y": ["N", CLASSES]} if flat else {}
    shapes |= {name: ["N", channels, "H", "W"] for name, channels in (maps or {}).items()}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", INPUTS, SIZE, SIZE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def convolutions(
    channels: int, *, norm: bool, depthwise: bool, pool: str, head: str, seed: int = 0
) -> tuple[list[onnx.NodeProto], Weights]:
    """x -> conv -> [batch norm] -> relu -> [depthwise] -> conv -> relu -> pool -> flatten -> dense -> y."""
    draw = np.random.default_rng(seed)
    weights: Weights = {
        "w1": draw.normal(size=(channels, INPUTS, 3, 3)),
        "b1": draw.normal(size=channels),
        "w2": draw.normal(size=(channels + 1, channels, 3, 3)),
        "b2": draw.normal(size=channels + 1),
    }
    node = helper.make_node
    nodes = [node("Conv", ["x", "w1", "b1"], ["c1"], name="conv1", pads=[1, 1, 1, 1])]
    last = "c1"
    if norm:
        weights |= {"scale": draw.uniform(0.5, 2, channels), "shift": draw.normal(size=channels)}
        weights |= {"mean": draw.normal(size=channels), "var": draw.uniform(0.5, 2, channels)}
        nodes.append(node("BatchNormalization", [last, "scale", "shift", "mean", "var"], ["n1"], name="norm"))
        last = "n1"
    nodes.append(node("Relu", [last], ["r1"], name="relu1"))
    last = "r1"
    if depthwise:
        weights["dw"] = draw.normal(size=(channels, 1, 3, 3))
        nodes.append(node("Conv", [last, "dw"], ["d1"], name="deep", pads=[1, 1, 1, 1], group=channels))
        last = "d1"
    nodes.append(node("Conv", [last, "w2", "b2"], ["c2"], name="conv2"))
    nodes.append(node("LeakyRelu", ["c2"], ["r2"], name="relu2"))
    places = 1 if pool == "GlobalAveragePool" else 4
    if places == 1:
        nodes.append(node(pool, ["r2"], ["p"], name="pool"))
    else:
        nodes.append(node(pool, ["r2"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]))
    nodes.append(node("Flatten", ["p"], ["f"], name="flatten"))
    wide = (channels + 1) * places
    if head == "Gemm":
        weights |= {"dense": draw.normal(size=(CLASSES, wide)), "bias": draw.normal(size=CLASSES)}
        nodes.append(node("Gemm", ["f", "dense", "bias"], ["y"], name="head", transB=1))
    else:
        weights["dense"] = draw.normal(size=(wide, CLASSES))
        nodes.append(node("MatMul", ["f", "dense"], ["y"], name="head"))
    return nodes, weights


def answers(model: onnx.ModelProto, rows: int = 5) -> np.ndarray[Any, Any]:
    x = np.random.default_rng(9).normal(size=(rows, INPUTS, SIZE, SIZE)).astype(np.float32)
    return Runner(model.SerializeToString()).run({"x": x})["y"]


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(2, 9),
    norm=st.booleans(),
    depthwise=st.booleans(),
    pool=st.sampled_from(["GlobalAveragePool", "MaxPool"]),
    head=st.sampled_from(["Gemm", "MatMul"]),
    share=st.floats(0.1, 0.9),
    seed=st.integers(0, 10**6),
)
def test_channels_that_are_zero_anyway_are_not_missed(
    channels: int, norm: bool, depthwise: bool, pool: str, head: str, share: float, seed: int
) -> None:
    """What is taken out of the pruned model is set to zero in the whole one: both answer alike."""
    nodes, weights = convolutions(channels, norm=norm, depthwise=depthwise, pool=pool, head=head, seed=seed)
    draw = np.random.default_rng(seed)
    for kernel, bias, more in (("w1", "b1", ("shift", "mean")), ("w2", "b2", ())):
        count = len(weights[kernel])
        zero = draw.permutation(count)[: int(count * share)]
        for name in (kernel, bias, *(name for name in more if name in weights)):
            weights[name][zero] = 0
    model = model_of(nodes, weights)
    try:
        pruned, report = prune(model, structured(share), CONTEXT)
    except PassFailed:
        assert int((channels + 1) * share) == 0
        return
    onnx.checker.check_model(pruned, full_check=True)
    assert pruned.ByteSize() < model.ByteSize()
    assert report.changed > 0
    np.testing.assert_allclose(answers(pruned), answers(model), rtol=1e-4, atol=1e-4)


def test_weakest_channels_go_and_the_next_layer_loses_the_same() -> None:
    nodes, weights = convolutions(4, norm=True, depthwise=True, pool="MaxPool", head="Gemm")
    weights["w1"][[0, 2]] *= 0.01
    pruned, report = prune(model_of(nodes, weights), structured(0.5), CONTEXT)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in pruned.graph.initializer}
    assert shapes["w1"] == (2, INPUTS, 3, 3)
    assert shapes["scale"] == shapes["b1"] == (2,)
    assert shapes["dw"] == (2, 1, 3, 3)
    assert shapes["w2"] == (3, 2, 3, 3)
    assert shapes["dense"] == (CLASSES, 3 * 4)
    deep = next(node for node in pruned.graph.node if node.name == "deep")
    assert helper.get_node_attr_value(deep, "group") == 2
    kept = numpy_helper.to_array(next(item for item in pruned.graph.initializer if item.name == "w1"))
    np.testing.assert_array_equal(kept, weights["w1"][[1, 3]].astype(np.float32))
    assert "4 channels of 2 layers" in report.note


def test_given_model_is_not_changed_and_the_result_repeats() -> None:
    model = model_of(*convolutions(5, norm=True, depthwise=True, pool="MaxPool", head="MatMul"))
    before = model.SerializeToString(deterministic=True)
    first, second = (prune(model, structured(), CONTEXT)[0] for _ in range(2))
    assert model.SerializeToString(deterministic=True) == before
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


@pytest.mark.parametrize("norm, kept", [(Norm.L1, 0), (Norm.L2, 1)])
def test_norm_decides_which_channel_is_weakest(norm: Norm, kept: int) -> None:
    nodes, weights = convolutions(2, norm=False, depthwise=False, pool="MaxPool", head="MatMul")
    weights["w1"][0] = 1.0  # many weights of one: larger in L1
    weights["w1"][1] = 0.0
    weights["w1"][1, 0, 0, 0] = 10.0  # one large weight: larger in L2
    pruned, _ = prune(model_of(nodes, weights), structured(0.5, norm), CONTEXT)
    left = numpy_helper.to_array(next(item for item in pruned.graph.initializer if item.name == "w1"))
    np.testing.assert_array_equal(left[0], weights["w1"][kept].astype(np.float32))


def test_layers_before_a_branch_that_joins_keep_their_channels() -> None:
    nodes, weights = convolutions(4, norm=False, depthwise=False, pool="GlobalAveragePool", head="Gemm")
    weights["skip"] = np.random.default_rng(1).normal(size=(4, 4, 3, 3))
    nodes[2:3] = [
        helper.make_node("Conv", ["r1", "skip"], ["s"], name="around", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["r1", "s"], ["j"], name="join"),
        helper.make_node("Conv", ["j", "w2", "b2"], ["c2"], name="conv2"),
    ]
    pruned, report = prune(model_of(nodes, weights), structured(0.5), CONTEXT)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in pruned.graph.initializer}
    assert shapes["w1"] == (4, INPUTS, 3, 3)
    assert shapes["skip"] == (4, 4, 3, 3)
    assert shapes["w2"] == (3, 4, 3, 3)
    assert "3 layers keep theirs" in report.note
    assert "joins two branches" in report.note


def test_weights_that_two_layers_share_are_left_alone() -> None:
    nodes, weights = convolutions(4, norm=False, depthwise=False, pool="GlobalAveragePool", head="Gemm")
    nodes.append(helper.make_node("Conv", ["x", "w1", "b1"], ["y2"], name="twin"))
    model = model_of(nodes, weights, maps={"y2": 4})
    pruned, _ = prune(model, structured(0.5), CONTEXT)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in pruned.graph.initializer}
    assert shapes["w1"] == (4, INPUTS, 3, 3)
    assert shapes["w2"] == (3, 4, 3, 3)


def test_model_whose_layers_all_end_in_outputs_says_that_nothing_can_go() -> None:
    nodes = [helper.make_node("Conv", ["x", "w1"], ["y"], name="conv")]
    with pytest.raises(PassFailed) as refused:
        prune(
            model_of(nodes, {"w1": np.ones((4, INPUTS, 3, 3))}, maps={"y": 4}, flat=False),
            structured(),
            CONTEXT,
        )
    assert "output of the model" in refused.value.why

"""Tiny copies of what exporters write: each has the pattern of one that a real model came with."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.compiler.graphs import classifier, model_of

Arrays = dict[str, np.ndarray[Any, Any]]
SITES = ("harbour", "north", "south")
WORDS = ("fine", "leak", "smoke", "steady")


def sklearn_classifier(labels: tuple[str, ...] | tuple[int, ...] = ("fine", "hot", "off")) -> onnx.ModelProto:
    """skl2onnx: a text column and a number, LinearClassifier, labels, scores as a list of dictionaries."""
    ml = "ai.onnx.ml"
    names: dict[str, Any] = {
        "classlabels_strings" if isinstance(labels[0], str) else "classlabels_ints": list(labels)
    }
    zipped: dict[str, Any] = {
        "classlabels_strings" if isinstance(labels[0], str) else "classlabels_int64s": list(labels)
    }
    nodes = [
        helper.make_node("OneHotEncoder", ["site"], ["hot"], domain=ml, cats_strings=list(SITES)),
        helper.make_node("Reshape", ["hot", "flat"], ["sites"]),
        helper.make_node("Concat", ["sites", "load"], ["x"], axis=1),
        helper.make_node(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            domain=ml,
            coefficients=[4.0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 4, 0],
            intercepts=[0.0, 0, 0],
            post_transform="SOFTMAX",
            **names,
        ),
        helper.make_node("Identity", ["label"], ["output_label"]),
        helper.make_node("ZipMap", ["scores"], ["output_probability"], domain=ml, **zipped),
    ]
    kind = TensorProto.STRING if isinstance(labels[0], str) else TensorProto.INT64
    key = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    mapped = helper.make_map_type_proto(kind, key)
    graph = helper.make_graph(
        nodes,
        "pipeline",
        [
            helper.make_tensor_value_info("site", TensorProto.STRING, [None, 1]),
            helper.make_tensor_value_info("load", TensorProto.FLOAT, [None, 1]),
        ],
        [
            helper.make_tensor_value_info("output_label", kind, [None]),
            helper.make_value_info("output_probability", helper.make_sequence_type_proto(mapped)),
        ],
        [numpy_helper.from_array(np.array([-1, 3], np.int64), "flat")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ml, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def sites(count: int, *, seed: int = 1) -> Arrays:
    """Rows for it: the class follows the site."""
    pick = np.random.default_rng(seed).integers(0, len(SITES), count)
    site = np.array([SITES[at] for at in pick], dtype=object)
    return {
        "site": site,
        "load": np.linspace(0, 1, count, dtype=np.float32),
        "class": pick.astype(np.int64),
    }


def text_counter() -> onnx.ModelProto:
    """skl2onnx: one text a row, lowered, split at blanks by onnxruntime's own Tokenizer, counted, weighed."""
    nodes = [
        helper.make_node("Reshape", ["text", "row"], ["texts"]),
        helper.make_node("StringNormalizer", ["texts"], ["lowered"], case_change_action="LOWER"),
        helper.make_node(
            "Tokenizer",
            ["lowered"],
            ["words"],
            domain="com.microsoft",
            mark=0,
            mincharnum=1,
            pad_value="#",
            separators=[" "],
        ),
        helper.make_node(
            "TfIdfVectorizer",
            ["words"],
            ["counts"],
            mode="TF",
            min_gram_length=1,
            max_gram_length=1,
            max_skip_count=0,
            ngram_counts=[0],
            ngram_indexes=list(range(len(WORDS))),
            pool_strings=list(WORDS),
        ),
        helper.make_node("MatMul", ["counts", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["score"], axis=1),
    ]
    weights = np.array([[2, -1], [-1, 2], [-1, 2], [2, -1]], np.float32)
    graph = helper.make_graph(
        nodes,
        "text",
        [helper.make_tensor_value_info("text", TensorProto.STRING, [None, 1])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 2])],
        [
            numpy_helper.from_array(np.array([-1], np.int64), "row"),
            numpy_helper.from_array(weights, "weights"),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def imputing() -> onnx.ModelProto:
    """The small classifier behind an imputer: a missing value counts as zero."""
    model = classifier()
    model.graph.node[0].input[0] = "filled"
    model.graph.node.insert(0, helper.make_node("Where", ["missing", "nothing", "x"], ["filled"]))
    model.graph.node.insert(0, helper.make_node("IsNaN", ["x"], ["missing"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), "nothing"))
    return model


def paddle_like() -> onnx.ModelProto:
    """Paddle2ONNX: opset 11, every weight a Constant node without a name, free axes of generated names."""
    constants = {"w": np.eye(4, 3, dtype=np.float32), "b": np.zeros(3, np.float32)}
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value, name))
        for name, value in constants.items()
    ]
    nodes += [
        helper.make_node("MatMul", ["x", "w"], ["mixed"], name="p2o.MatMul.0"),
        helper.make_node("Add", ["mixed", "b"], ["sum"]),
        helper.make_node("Softmax", ["sum"], ["softmax_0.tmp_0"], axis=-1),
    ]
    free = "p2o.DynamicDimension"
    return model_of(nodes, {}, {"x": [f"{free}.0", 4]}, {"softmax_0.tmp_0": [f"{free}.3", 3]}, opset=11, ir=6)


def keras_like() -> onnx.ModelProto:
    """tf2onnx: opset 9, IR 4, weights listed as inputs too, names with colons, free batch."""
    model = model_of(
        [
            helper.make_node("MatMul", ["input:0", "dense/kernel:0"], ["mixed"], name="dense/MatMul"),
            helper.make_node("Softmax", ["mixed"], ["outputs"], name="softmax", axis=1),
        ],
        {"dense/kernel:0": np.eye(4, 3, dtype=np.float32)},
        {"input:0": ["unk__1", 4], "dense/kernel:0": [4, 3]},
        {"outputs": ["unk__2", 3]},
        opset=9,
        ir=4,
    )
    model.producer_name = "tf2onnx"
    return model


def torch_like() -> onnx.ModelProto:
    """torch.onnx with dynamo: functions of pkg.*, opset 20, IR 10, notes of the exporter's machine."""
    twice = helper.make_function(
        "pkg.onnxscript.torch_lib",
        "aten_double",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 20)],
    )
    model = model_of(
        [
            helper.make_node("aten_double", ["x"], ["doubled"], domain="pkg.onnxscript.torch_lib"),
            helper.make_node("Gemm", ["doubled", "weight"], ["y"], name="node_linear", transB=1),
        ],
        {"weight": np.eye(3, 4, dtype=np.float32)},
        {"x": ["s77", 4]},
        {"y": ["s77", 3]},
        opset=20,
        ir=10,
    )
    model.opset_import.append(helper.make_opsetid("pkg.onnxscript.torch_lib", 1))
    model.functions.append(twice)
    model.graph.node[1].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="File train.py")
    return model


def looping() -> onnx.ModelProto:
    """torch.jit.script: a Loop that adds x three times, with an If inside that reads from both graphs."""
    value = helper.make_tensor_value_info
    then, other = (
        helper.make_graph(
            [helper.make_node(kind, ["before", "x"], ["step"])],
            kind,
            [],
            [value("step", TensorProto.FLOAT, ["N", 4])],
        )
        for kind in ("Add", "Sub")
    )
    body = helper.make_graph(
        [
            helper.make_node("If", ["go"], ["after"], then_branch=then, else_branch=other),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("before", TensorProto.FLOAT, ["N", 4]),
        ],
        [value("go_on", TensorProto.BOOL, []), value("after", TensorProto.FLOAT, ["N", 4])],
    )
    nodes = [
        helper.make_node("Mul", ["x", "zero"], ["start"]),
        helper.make_node("Loop", ["times", "yes", "start"], ["y"], body=body),
    ]
    constants: Arrays = {
        "zero": np.zeros(1, np.float32),
        "times": np.array(3, np.int64),
        "yes": np.array(True),
    }
    return model_of(nodes, constants, {"x": ["N", 4]}, {"y": ["N", 4]})

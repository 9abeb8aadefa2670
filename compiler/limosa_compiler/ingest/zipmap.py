"""Outputs of scikit-learn's exporter: a list of dictionaries becomes the plain tensor it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import onnx
from onnx import TensorProto, helper

from limosa_compiler.passes import Context, PassReport, copy_of, reported

_ML: Final = "ai.onnx.ml"
_LABEL_ATTRIBUTES: Final = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")


def unzip_maps(model: onnx.ModelProto, _: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """A ZipMap whose result is an output is dropped: runtimes on devices serve tensors, not dictionaries.

    The output keeps its name, and becomes the scores [N, classes] that went into the ZipMap.
    """
    result = copy_of(model)
    wanted = {value.name: value for value in result.graph.output}
    used = {name for node in result.graph.node for name in node.input}
    changed = 0
    for node in list(result.graph.node):
        if node.domain != _ML or node.op_type != "ZipMap" or node.output[0] not in wanted:
            continue
        if node.output[0] in used:
            continue  # something else reads the dictionaries; the signature refuses them
        scores, name = node.input[0], node.output[0]
        shape = [None, len(_labels(node)) or None]
        wanted[name].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        position = list(result.graph.node).index(node)
        del result.graph.node[position]
        result.graph.node.insert(position, helper.make_node("Identity", [scores], [name]))
        changed += 1
    return reported("unzip_maps", model, result, changed=changed)


def class_labels(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of classes that a classifier of the model carries, in the order of its scores; none if none."""
    for node in model.graph.node:
        if node.domain == _ML and (node.op_type == "ZipMap" or node.op_type.endswith("Classifier")):
            labels = _labels(node)
            if labels:
                return tuple(labels)
    return ()


def _labels(node: onnx.NodeProto) -> Sequence[str]:
    for attribute in node.attribute:
        if attribute.name in _LABEL_ATTRIBUTES:
            texts = [item.decode(errors="replace") for item in attribute.strings]
            return texts or [str(number) for number in attribute.ints]
    return []

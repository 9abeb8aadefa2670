"""What no model may have: weights elsewhere, or a graph that the checker does not accept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import onnx
from onnx import TensorProto, checker

from limosa_compiler.errors import CustomOperator, ExternalData, NotAModel
from limosa_compiler.graph_walk import graphs, nodes, tensors
from limosa_compiler.passes import Context, PassReport, reported

CHANCE: Final = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
NAME_MAX_CHARS: Final = 1024  # those of exporters are module paths; evidence takes as many


def refuse_external_data(model: onnx.ModelProto, context: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """Weights in other files would be read by name from wherever the model lies (trust 7.2).

    Refused by what the tensor says, before any name is looked at: no form of path makes a difference.
    """
    for tensor in tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise ExternalData(
                "the model keeps weights in other files", where=context.where, why=repr(tensor.name[:120])
            )
    return reported("refuse_external_data", model, model)


def refuse_chance(model: onnx.ModelProto, context: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """What answers by chance has no golden vectors: no device could confirm that it runs the model."""
    for node in nodes(model):
        if node.op_type in CHANCE and node.domain in ("", "ai.onnx"):
            raise CustomOperator(
                f"operator {node.op_type} answers otherwise each time",
                where=context.where,
                why=f"node {node.name[:120]!r}",
                hint="export the model for inference; what is drawn by chance becomes an input",
            )
    return reported("refuse_chance", model, model)


def refuse_long_names(model: onnx.ModelProto, context: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """A name stands in every candidate, table and document: a long one is a bomb that unfolds late."""
    for graph in graphs(model.graph):
        for name in _names_of(graph):
            if isinstance(name, bytes):  # so protobuf gives a text that is none
                raise NotAModel("a name is not UTF-8", where=context.where, why=repr(name[:40]))
            if len(name) > NAME_MAX_CHARS:
                raise NotAModel(
                    f"a name has {len(name)} characters",
                    where=context.where,
                    why=f"at most {NAME_MAX_CHARS} are taken: {name[:40]!r}…",
                )
    return reported("refuse_long_names", model, model)


def _names_of(graph: onnx.GraphProto) -> Iterator[str | bytes]:
    for node in graph.node:
        yield node.name
        yield from node.output
    for value in (*graph.input, *graph.output):
        yield value.name
        yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)
    yield from (tensor.name for tensor in graph.initializer)


def check_model(model: onnx.ModelProto, context: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """onnx's own checker."""
    try:
        checker.check_model(model)
    except (checker.ValidationError, ValueError) as error:
        raise NotAModel(
            "the model is not valid ONNX", where=context.where, why=" ".join(str(error).split())[:300]
        ) from error
    return reported("check_model", model, model)

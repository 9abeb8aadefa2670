"""What no model may have: weights elsewhere, or a graph that the checker does not accept."""

from __future__ import annotations

import onnx
from onnx import TensorProto, checker

from limosa_compiler.errors import ExternalData, NotAModel
from limosa_compiler.graph_walk import tensors
from limosa_compiler.passes import Context, PassReport, reported


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


def check_model(model: onnx.ModelProto, context: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """onnx's own checker."""
    try:
        checker.check_model(model)
    except (checker.ValidationError, ValueError) as error:
        raise NotAModel(
            "the model is not valid ONNX", where=context.where, why=" ".join(str(error).split())[:300]
        ) from error
    return reported("check_model", model, model)

"""Half precision inside, float32 at inputs and outputs, so that clients see no difference (compiler 2.4).

onnxruntime's own converter is used: it patches `Cast(to=FLOAT)`, which onnxconverter-common's leaves
behind, so that its models do not load (compiler 3).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

import onnx
from onnx import TensorProto, checker

from limosa_compiler.errors import PassFailed, RungNotMade
from limosa_compiler.graph_walk import tensors
from limosa_compiler.ingest.prepare import quiet_runtime
from limosa_compiler.passes import copy_of
from limosa_compiler.rungs.order import in_order
from limosa_compiler.rungs.rung import Material, Rung, processing_nodes
from limosa_compiler.search.candidate import FP16, Candidate, candidate

_CONVERTER_ERRORS: Final = (RuntimeError, ValueError, KeyError, IndexError, TypeError, AssertionError)


def make(material: Material) -> Candidate:
    """From the model as it came, not as it was folded: nothing of fp16 needs that. Raises PassFailed."""
    model = to_float16(material.model, keep=processing_nodes(material.model), where=material.where)
    return candidate(FP16, FP16, model, recipe={"rung": FP16})


def to_float16(model: onnx.ModelProto, *, keep: Sequence[str], where: str) -> onnx.ModelProto:
    """`keep`: names of nodes that stay in float32. Raises PassFailed; RungNotMade without float weights."""
    if not any(tensor.data_type == TensorProto.FLOAT for tensor in tensors(model)):
        raise RungNotMade("the model has no float32 weights", where=where)
    try:
        with quiet_runtime():
            result: onnx.ModelProto = _converter().convert_float_to_float16(
                copy_of(model), keep_io_types=True, node_block_list=list(keep)
            )
        in_order(result.graph)
        checker.check_model(result)
    except (*_CONVERTER_ERRORS, checker.ValidationError) as error:
        raise PassFailed(
            "the model cannot be converted to fp16",
            where=where,
            why=f"{type(error).__name__}: {error}"[:300],
        ) from error
    result.ir_version = model.ir_version
    del result.graph.value_info[:]  # of the converter's own inference; runtimes infer shapes themselves
    return result


def _converter() -> ModuleType:
    """Its package puts its folder on sys.path, where `metrics` and `models` would hide others' modules."""
    before = list(sys.path)
    from onnxruntime.transformers import float16

    sys.path[:] = [entry for entry in sys.path if entry in before or not _is_its(entry)]
    return float16  # type: ignore[no-any-return]  # onnxruntime has no stubs


def _is_its(entry: str) -> bool:
    return Path(entry).parts[-2:] == ("onnxruntime", "transformers")


RUNG: Final = Rung(name=FP16, kind="fp16", precision=FP16, make=make)

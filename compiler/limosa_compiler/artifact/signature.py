"""What a model takes and gives, as a device must know it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import onnx
from onnx import TensorProto

from limosa_compiler.errors import UnsupportedShape
from limosa_compiler.graph_walk import fed_inputs
from limosa_compiler.ingest.states import states_of
from limosa_compiler.recipe.inputs import InputNotes
from limosa_compiler.running.stateful import State
from limosa_contracts.errors import InvalidField
from limosa_contracts.serving import NUMPY_OF_DTYPE, TensorSpec

_DTYPE: Final[Mapping[int, str]] = {
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT64: "UINT64",
    TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.STRING: "BYTES",
}


def inputs_of(model: onnx.ModelProto, notes: Mapping[str, InputNotes]) -> tuple[TensorSpec, ...]:
    """Raises UnsupportedShape; InvalidField if the recipe speaks of an input there is none of."""
    specs = _specs(fed_inputs(model.graph), notes)
    for name, note in notes.items():
        if note.value is None and name not in {spec.name for spec in specs}:
            known = ", ".join(spec.name for spec in specs)
            raise InvalidField(
                f"the model has no input {name!r}", where=f"inputs.{name}", hint=f"inputs: {known}"
            )
    for spec in specs:
        if not spec.shape:
            raise UnsupportedShape(
                f"input {spec.name!r} is a single number, not one per row",
                where=spec.name,
                hint=f"if it never changes, make it a constant: [inputs.{spec.name}] value = …",
            )
        if spec.shape[0] not in (-1, 1):
            raise UnsupportedShape(
                f"input {spec.name!r} has a fixed batch",
                where=spec.name,
                why=f"its shape is {list(spec.shape)}; the first dimension must be free, or 1",
                hint="export it with a dynamic first axis; a recurrent state: "
                f"[inputs.{spec.name}] state_from = …",
            )
    return specs


def outputs_of(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """Raises UnsupportedShape."""
    return _specs(model.graph.output, {})


def states_of_model(inputs: Iterable[TensorSpec], notes: Mapping[str, InputNotes]) -> tuple[State, ...]:
    """Recurrent states, batch first. Raises UnsupportedShape for one whose length is free."""
    fed = states_of(notes)
    found: list[State] = []
    for spec in inputs:
        if spec.name not in fed:
            continue
        if -1 in spec.shape[1:] or spec.dtype == "BYTES":
            raise UnsupportedShape(
                f"the state {spec.name!r} has a free axis besides the batch",
                where=spec.name,
                why=f"its shape, batch first, is {list(spec.shape)}",
                hint=f"[inputs.{spec.name}] shape = …, as the model has it",
            )
        found.append(
            State(
                input=spec.name,
                output=fed[spec.name],
                shape=spec.shape[1:],
                dtype=NUMPY_OF_DTYPE[spec.dtype],
            )
        )
    return tuple(found)


def _specs(values: Iterable[onnx.ValueInfoProto], notes: Mapping[str, InputNotes]) -> tuple[TensorSpec, ...]:
    return tuple(_spec(value, notes.get(value.name, InputNotes())) for value in values)


def _spec(value: onnx.ValueInfoProto, notes: InputNotes) -> TensorSpec:
    kind = value.type.WhichOneof("value")
    tensor = value.type.tensor_type
    if kind != "tensor_type" or tensor.elem_type not in _DTYPE:
        raise UnsupportedShape(
            f"{value.name!r} is not a tensor of numbers or texts",
            where=value.name,
            why=f"it is a {kind or 'value of no type'}",
            hint="for scikit-learn models: skl2onnx with options={'zipmap': False}",
        )
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else -1 for dim in tensor.shape.dim
    )
    return TensorSpec(
        name=value.name, dtype=_DTYPE[tensor.elem_type], shape=shape, low=notes.low, high=notes.high
    )

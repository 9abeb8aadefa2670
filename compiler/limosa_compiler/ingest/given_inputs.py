"""What the recipe says about inputs, done to the graph: axes that are fixed, inputs that are constants."""

from __future__ import annotations

from difflib import get_close_matches

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from limosa_compiler.errors import UnsupportedShape
from limosa_compiler.graph_walk import fed_inputs, graphs
from limosa_compiler.passes import Context, PassReport, copy_of, reported
from limosa_compiler.recipe.inputs import InputNotes
from limosa_contracts.errors import InvalidField


def fix_axes(model: onnx.ModelProto, context: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """`[inputs.NAME] shape`: free axes get a length, wherever their name occurs. Raises InvalidField."""
    result = copy_of(model)
    known: dict[str, int] = {}
    changed = 0
    for value in fed_inputs(result.graph):
        notes = context.inputs.get(value.name)
        if notes is None or notes.shape is None:
            continue
        changed += _fix(value, notes.shape, known)
    refuse_unknown(model, context)
    for graph in graphs(result.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_param in known:
                    dim.dim_value = known[dim.dim_param]
    return reported("fix_axes", model, result, changed=changed)


def give_constants(model: onnx.ModelProto, context: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """`[inputs.NAME] value`: the input is an initializer from now on. Raises InvalidField."""
    result = copy_of(model)
    given: list[str] = []
    for value in fed_inputs(model.graph):
        notes = context.inputs.get(value.name)
        if notes is not None and notes.value is not None:
            result.graph.initializer.append(_constant(value, notes))
            given.append(value.name)
    if given:
        kept = [value for value in result.graph.input if value.name not in given]
        if not kept:
            raise InvalidField("every input is a constant", where="inputs", why="nothing is left to feed")
        del result.graph.input[:]
        result.graph.input.extend(kept)
    return reported("give_constants", model, result, changed=len(given), note=", ".join(given))


def refuse_unknown(model: onnx.ModelProto, context: Context) -> None:
    """Raises InvalidField if the recipe speaks of an input that there is none of, naming the nearest."""
    known = [value.name for value in fed_inputs(model.graph)]
    for name in context.inputs:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise InvalidField(
                f"the model has no input {name!r}",
                where=f"inputs.{name}",
                hint=f"did you mean {near[0]!r}?" if near else f"inputs: {', '.join(known)}",
            )


def _fix(value: onnx.ValueInfoProto, shape: tuple[int, ...], known: dict[str, int]) -> int:
    dims = value.type.tensor_type.shape.dim
    have = [dim.dim_value if dim.dim_value > 0 else -1 for dim in dims]
    if len(dims) != len(shape) or any(
        want != -1 and is_ not in (-1, want) for want, is_ in zip(shape, have, strict=True)
    ):
        raise InvalidField(
            f"input {value.name!r} cannot be of that shape",
            where=f"inputs.{value.name}.shape",
            why=f"the model has {have}, the recipe {list(shape)}; -1 is free",
        )
    changed = 0
    for dim, want in zip(dims, shape, strict=True):
        if want == -1 or dim.dim_value == want:
            continue
        if dim.dim_param and known.setdefault(dim.dim_param, want) != want:
            raise InvalidField(
                f"axis {dim.dim_param!r} gets two lengths",
                where=f"inputs.{value.name}.shape",
                why=f"{known[dim.dim_param]} and {want}",
            )
        dim.dim_value = want
        changed += 1
    return changed


def _constant(value: onnx.ValueInfoProto, notes: InputNotes) -> onnx.TensorProto:
    kind = value.type.tensor_type.elem_type
    dims = value.type.tensor_type.shape.dim
    wrong = InvalidField(
        f"input {value.name!r} cannot have that value",
        where=f"inputs.{value.name}.value",
        why=f"it is {TensorProto.DataType.Name(kind)} of rank {len(dims)}",
    )
    try:
        array = np.asarray(notes.value)
        target = np.dtype(helper.tensor_dtype_to_np_dtype(kind))
    except (ValueError, KeyError) as error:
        raise wrong from error
    is_text = kind == TensorProto.STRING
    if (array.dtype.kind == "U") != is_text or (array.dtype.kind == "b") != (target.kind == "b"):
        raise wrong
    exact = array.astype(object if is_text else target)
    if not is_text and target.kind in "iub" and not np.array_equal(exact, array):
        raise wrong
    if array.size == 1 and all(dim.dim_value in (0, 1) for dim in dims):
        exact = exact.reshape((1,) * len(dims))
    if exact.ndim != len(dims) or any(
        dim.dim_value not in (0, have) for dim, have in zip(dims, exact.shape, strict=True)
    ):
        raise UnsupportedShape(
            f"the value of input {value.name!r} has not its shape",
            where=f"inputs.{value.name}.value",
            why=f"the model has {[dim.dim_value or -1 for dim in dims]}, the recipe {list(exact.shape)}",
        )
    tensor: onnx.TensorProto = numpy_helper.from_array(exact, value.name)
    return tensor

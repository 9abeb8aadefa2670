"""ONNX to .tflite, and .tflite to fewer bits, each in a worker of its own (compiler 4)."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import shape_inference

from limosa_compiler.arrays import Array, Arrays
from limosa_compiler.errors import PassFailed
from limosa_compiler.graph_walk import graphs
from limosa_compiler.litert.limits import LIMITS
from limosa_compiler.litert.process import Gone, Refused, Worker
from limosa_compiler.litert.toolchain import Toolchain
from limosa_compiler.passes import copy_of
from limosa_contracts.json_value import JsonValue

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """`failed`: rung -> why it could not be made."""

    models: Mapping[str, bytes]
    failed: Mapping[str, str]


def convert(toolchain: Toolchain, model: onnx.ModelProto, *, where: str) -> bytes:
    """The .tflite model in fp32, with the names and shapes of ONNX. Raises PassFailed."""
    plain, names = with_plain_names(with_shapes(model))
    source = plain.SerializeToString(deterministic=True)
    keep = [value.name for value in plain.graph.input]
    with tempfile.TemporaryDirectory(prefix="limosa-") as folder:
        arrays = _asked(
            toolchain,
            "convert",
            {"model": as_array(source)},
            fields={"folder": folder, "keep": keep, "names": names},
            timeout_s=LIMITS.convert_s,
            where=where,
        )
    return arrays["fp32"].tobytes()


def quantize(
    toolchain: Toolchain,
    model: bytes,
    *,
    rungs: Sequence[str],
    calibration: Iterable[Arrays],
    where: str,
) -> Quantized:
    """Rungs of an fp32 model; `calibration` gives batches of rows, which go through files one by one.

    Raises PassFailed if none could be tried.
    """
    with tempfile.TemporaryDirectory(prefix="limosa-") as folder:
        parts = write_parts(Path(folder), calibration)
        with Worker(toolchain.python, model_bytes=len(model)) as worker:
            try:
                answer = worker.ask(
                    "quantize",
                    arrays={"model": as_array(model)},
                    fields={"folder": folder, "parts": list(parts), "rungs": list(rungs)},
                    timeout_s=LIMITS.quantize_s,
                )
            except (Refused, Gone) as error:
                raise PassFailed("the model cannot be quantized", where=where, why=str(error)) from error
    failed = answer.head.get("failed")
    return Quantized(
        models={rung: array.tobytes() for rung, array in answer.arrays.items() if rung in rungs},
        failed={str(rung): str(why) for rung, why in failed.items()} if isinstance(failed, Mapping) else {},
    )


def with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """With every shape that can be inferred: without, the converter leaves outputs of size 1."""
    try:
        return shape_inference.infer_shapes(model, data_prop=True)
    except (RuntimeError, ValueError, shape_inference.InferenceError):
        return model  # the converter infers on its own, and the result is compared with the reference


def with_plain_names(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, str]]:
    """The model with inputs and outputs that the converter leaves alone, and plain name -> given name.

    It rewrites names such as `input:0`; the worker gives them back in the signature.
    """
    values = (*model.graph.input, *model.graph.output)
    odd = [value.name for value in values if not _PLAIN.fullmatch(value.name)]
    plain = {name: f"limosa_{place}" for place, name in enumerate(dict.fromkeys(odd))}
    if not plain:
        return model, {}
    result = copy_of(model)
    for graph in graphs(result.graph):
        for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            value.name = plain.get(value.name, value.name)
        for node in graph.node:
            node.input[:] = [plain.get(name, name) for name in node.input]
            node.output[:] = [plain.get(name, name) for name in node.output]
    return result, {new: old for old, new in plain.items()}


def write_parts(folder: Path, batches: Iterable[Arrays]) -> tuple[dict[str, str], ...]:
    """One .npy file per input and batch; input -> file name, batch by batch."""
    parts: list[dict[str, str]] = []
    for number, batch in enumerate(batches):
        part: dict[str, str] = {}
        for place, (name, array) in enumerate(batch.items()):
            part[name] = f"{number}-{place}.npy"
            np.save(folder / part[name], np.ascontiguousarray(array), allow_pickle=False)
        parts.append(part)
    return tuple(parts)


def as_array(data: bytes) -> Array:
    return np.frombuffer(data, dtype=np.uint8)


def _asked(
    toolchain: Toolchain,
    question: str,
    arrays: Arrays,
    *,
    fields: Mapping[str, JsonValue],
    timeout_s: float,
    where: str,
) -> dict[str, Array]:
    size = sum(array.nbytes for array in arrays.values())
    with Worker(toolchain.python, model_bytes=size) as worker:
        try:
            return worker.ask(question, arrays=arrays, fields=fields, timeout_s=timeout_s).arrays
        except (Refused, Gone) as error:
            raise PassFailed(
                "the model cannot be converted to .tflite", where=where, why=str(error)
            ) from error

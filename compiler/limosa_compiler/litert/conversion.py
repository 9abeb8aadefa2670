"""ONNX to .tflite, and .tflite to fewer bits, each in a worker of its own (compiler 4)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import shape_inference

from limosa_compiler.arrays import Array, Arrays
from limosa_compiler.errors import PassFailed
from limosa_compiler.litert.limits import LIMITS
from limosa_compiler.litert.process import Gone, Refused, Worker
from limosa_compiler.litert.toolchain import Toolchain


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """`failed`: rung -> why it could not be made."""

    models: Mapping[str, bytes]
    failed: Mapping[str, str]


def convert(toolchain: Toolchain, model: onnx.ModelProto, *, where: str) -> bytes:
    """The .tflite model in fp32, with the names and shapes of ONNX. Raises PassFailed."""
    source = with_shapes(model).SerializeToString(deterministic=True)
    keep = [value.name for value in model.graph.input]
    with tempfile.TemporaryDirectory(prefix="limosa-") as folder:
        arrays = _asked(
            toolchain,
            "convert",
            {"model": as_array(source)},
            fields={"folder": folder, "keep": keep},
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
    fields: Mapping[str, str | list[str]],
    timeout_s: float,
    where: str,
) -> dict[str, Array]:
    size = sum(array.nbytes for array in arrays.values())
    with Worker(toolchain.python, model_bytes=size) as worker:
        try:
            said = {name: list(v) if isinstance(v, list) else v for name, v in fields.items()}
            return worker.ask(question, arrays=arrays, fields=said, timeout_s=timeout_s).arrays
        except (Refused, Gone) as error:
            raise PassFailed(
                "the model cannot be converted to .tflite", where=where, why=str(error)
            ) from error

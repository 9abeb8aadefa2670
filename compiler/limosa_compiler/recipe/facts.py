"""What `limosa init` reads off a model file and off data, without running anything of them."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import onnx
from onnx import TensorProto, helper

from limosa_compiler.errors import DataUnreadable
from limosa_compiler.graph_walk import fed_inputs, nodes
from limosa_compiler.ingest import opset_of, parse_model
from limosa_compiler.ingest.parsing import read_model
from limosa_compiler.recipe.draft import DataFacts, ModelFacts, TensorFacts
from limosa_contracts.serving import NUMPY_OF_DTYPE

TFLITE_MARK: Final = b"TFL3"
"""Bytes 4 to 8 of a TFLite file: its flatbuffer identifier."""
_QUANTIZED: Final = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger")
_LABELS: Final = ("label", "labels", "y", "target", "targets", "class", "classes")
_SLICES_MAX: Final = 4
_DTYPE_OF_NUMPY: Final[Mapping[str, str]] = {name: dtype for dtype, name in NUMPY_OF_DTYPE.items()}


def model_facts(path: Path, *, shown_as: str) -> ModelFacts:
    """Raises NotAModel, TooLarge."""
    data = read_model(path)
    if data[4:8] == TFLITE_MARK:
        return ModelFacts(
            file=shown_as, format="tflite", producer="", opset=0, nodes=0, size=len(data), quantized=False,
            inputs=(), outputs=(),
        )  # fmt: skip
    model = parse_model(data, where=path.name)
    kinds = {node.op_type for node in nodes(model)}
    return ModelFacts(
        file=shown_as,
        format="onnx",
        producer=model.producer_name,
        opset=opset_of(model),
        nodes=sum(1 for _ in nodes(model)),
        size=len(data),
        quantized=not kinds.isdisjoint(_QUANTIZED),
        inputs=_tensors(fed_inputs(model.graph)),
        outputs=_tensors(model.graph.output),
    )


def data_facts(
    evaluation: Path | None,
    calibration: Path | None,
    *,
    inputs: Iterable[str],
    shown_from: Callable[[Path], str],
) -> DataFacts:
    """Names only: what is neither an input nor a label may be a slice. Raises DataUnreadable."""
    names = _names(evaluation) if evaluation is not None else ()
    label = next((name for name in _LABELS if name in names), "label")
    return DataFacts(
        evaluation=shown_from(evaluation) if evaluation else "evaluation.npz",
        calibration=shown_from(calibration) if calibration else "calibration.npz",
        label=label,
        slices=tuple(name for name in names if name not in {*_LABELS, *inputs})[:_SLICES_MAX],
    )


def _tensors(values: Iterable[onnx.ValueInfoProto]) -> tuple[TensorFacts, ...]:
    return tuple(
        TensorFacts(
            name=value.name,
            dtype=_dtype(value),
            shape=tuple(_size(dim) for dim in value.type.tensor_type.shape.dim),
        )
        for value in values
    )


def _size(dim: onnx.TensorShapeProto.Dimension) -> int | str:
    if dim.HasField("dim_value") and dim.dim_value > 0:
        return int(dim.dim_value)
    return dim.dim_param or -1


def _dtype(value: onnx.ValueInfoProto) -> str:
    kind = value.type.tensor_type.elem_type
    if kind == TensorProto.STRING:
        return "BYTES"
    if value.type.WhichOneof("value") != "tensor_type" or kind not in TensorProto.DataType.values():
        return "of no tensor type"
    try:
        return _DTYPE_OF_NUMPY.get(helper.tensor_dtype_to_np_dtype(kind).name, "of a rare type")
    except KeyError:
        return "of no type"


def _names(path: Path) -> tuple[str, ...]:
    """Arrays or columns of a data file, in its order; none for a kind that is not looked into."""
    try:
        if path.is_dir():
            return tuple(sorted(file.stem for file in path.glob("*.npy")))
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                return tuple(name.removesuffix(".npy") for name in archive.namelist())
        if path.suffix == ".csv":
            with path.open(encoding="utf-8", newline="") as stream:
                return tuple(next(csv.reader(stream), ()))
    except (OSError, ValueError, zipfile.BadZipFile, csv.Error) as error:
        raise DataUnreadable("data cannot be read", where=str(path), why=str(error)[:200]) from error
    return ()

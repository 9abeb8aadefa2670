"""What rungs are made of, from a small model and rows for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx

from limosa_compiler.arrays import Array
from limosa_compiler.calibration.calibrate import calibrate
from limosa_compiler.graph_walk import fed_inputs
from limosa_compiler.ingest import INGEST
from limosa_compiler.ingest.prepare import PREPARE
from limosa_compiler.passes import Context, run_passes
from limosa_compiler.rungs.rung import Material


class Stream:
    """Batches of arrays, the same each time."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = arrays

    def __call__(self, rows: int) -> Iterator[dict[str, Array]]:
        count = len(next(iter(self._arrays.values())))
        for begin in range(0, count, rows):
            yield {name: array[begin : begin + rows] for name, array in self._arrays.items()}


def prepared_of(model: onnx.ModelProto) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """(after ingest, after preparation)."""
    context = Context(where="m", source_bytes=0)
    ingested, _ = run_passes(model, INGEST, context, on_pass=lambda report: None)
    prepared, _ = run_passes(ingested, PREPARE, context, on_pass=lambda report: None)
    return ingested, prepared


def material_of(model: onnx.ModelProto, arrays: Mapping[str, Array]) -> Material:
    """Ingested, prepared and calibrated with the arrays that the model asks for."""
    ingested, prepared = prepared_of(model)
    wanted = {value.name: arrays[value.name] for value in fed_inputs(prepared.graph)}
    table = calibrate(prepared, Stream(wanted))
    return Material(model=ingested, prepared=prepared, ranges=table, where="m")

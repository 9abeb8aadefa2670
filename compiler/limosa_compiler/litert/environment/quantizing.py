"""A .tflite model in fewer bits: fp16, static int8 with calibrated ranges, dynamic int8, int4."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from litert_quantizer import calibrator, quantizer, recipe, recipe_manager
from litert_quantizer.algorithm_manager import AlgorithmName
from litert_quantizer.qtyping import (
    ComputePrecision,
    OpQuantizationConfig,
    QuantGranularity,
    TensorDataType,
    TensorQuantizationConfig,
    TFLOperationName,
)
from litert_quantizer.utils import qsv_utils

CHUNK_ROWS = 64
ERRORS = (RuntimeError, ValueError, KeyError, IndexError, TypeError, AttributeError, NotImplementedError)


def static_int8() -> Any:
    """int8 throughout, but what goes in and comes out stays as clients see it.

    BATCH_MATMUL gets one scale for all of its weights: with one per channel the runtime answers a
    constant, without an error.
    """
    made = recipe_manager.RecipeManager()
    made.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, 8, 8)
    made.add_static_config(".*", TFLOperationName.BATCH_MATMUL, 8, 8, QuantGranularity.TENSORWISE)
    for place in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        made.add_quantization_config(".*", place, algorithm_key=AlgorithmName.NO_QUANTIZE)
    return made.get_quantization_recipe()


def fp16() -> Any:
    """Weights of 16 bits; computed in fp32, and clients see fp32."""
    made = recipe_manager.RecipeManager()
    weights = TensorQuantizationConfig(num_bits=16, dtype=TensorDataType.FLOAT)
    config = OpQuantizationConfig(
        weight_tensor_config=weights, compute_precision=ComputePrecision.FLOAT, explicit_dequantize=True
    )
    made.add_quantization_config(".*", TFLOperationName.ALL_SUPPORTED, config, AlgorithmName.FLOAT_CASTING)
    return made.get_quantization_recipe()


RECIPES = {
    "fp16": fp16,
    "int8": static_int8,
    "int8-minmax": static_int8,
    "int8-dynamic": recipe.dynamic_wi8_afp32,
    "int4": recipe.weight_only_wi4_afp32,
}
CALIBRATED = ("int8", "int8-minmax")


def quantize(
    model: bytes, *, folder: str, parts: list[dict[str, str]], rungs: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """An array of bytes for each rung that could be made; {"failed": {rung: why}} says which could not.

    `parts` name the .npy files of `folder`, by input: rows in slices, none of them larger than a chunk.
    """
    logging.disable(logging.CRITICAL)
    made: dict[str, Any] = {}
    failed: dict[str, str] = {}
    ranges: dict[str, Any] | str = {}
    if set(rungs) & set(CALIBRATED):
        try:
            ranges = calibrated(model, Path(folder), parts)
        except ERRORS as error:
            ranges = f"{type(error).__name__}: {error}"
    for rung in rungs:
        found = ranges if rung in CALIBRATED else {}
        if isinstance(found, str):
            failed[rung] = found[:300]
            continue
        try:
            made[rung] = np.frombuffer(quantized(model, rung, found), dtype=np.uint8)
        except ERRORS as error:
            failed[rung] = f"{type(error).__name__}: {error}"[:300]
    return {"failed": failed}, made


def quantized(model: bytes, rung: str, ranges: Mapping[str, Any]) -> bytes:
    run = quantizer.Quantizer(model, RECIPES[rung]())
    table = of_rung(ranges, rung) if run.need_calibration else None
    done = run.quantize(table, enable_progress_bar=False, enable_progress_report=False)
    return bytes(done.quantized_model or b"")


def calibrated(model: bytes, folder: Path, parts: list[dict[str, str]]) -> dict[str, Any]:
    """Tensor -> its least and greatest value, averaged over rows, and over all rows.

    The quantizer's own loop keeps every row in memory, so it is given one chunk after the other.
    """
    key = next(iter(Interpreter(model_content=model).get_signature_list()), None)
    run = calibrator.Calibrator(model, num_threads=1, qsv_update_func=both_ranges)
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(static_int8())
    for rows in chunks(folder, parts):
        run.calibrate({key: rows}, manager)
    return dict(run.get_model_qsvs())


def chunks(folder: Path, parts: list[dict[str, str]]) -> Iterator[list[dict[str, Any]]]:
    for part in parts:
        arrays = {name: np.load(folder / file, mmap_mode="r") for name, file in part.items()}
        count = len(next(iter(arrays.values())))
        for begin in range(0, count, CHUNK_ROWS):
            end = min(begin + CHUNK_ROWS, count)
            yield [
                {name: np.array(array[row : row + 1]) for name, array in arrays.items()}
                for row in range(begin, end)
            ]


def both_ranges(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The library's moving average, and beside it the extremes: one calibration gives two tables."""
    if not old:
        return new
    return {
        **qsv_utils.moving_average_update(old, new),
        "low": np.minimum(old.get("low", old["min"]), new["min"]),
        "high": np.maximum(old.get("high", old["max"]), new["max"]),
    }


def of_rung(ranges: Mapping[str, Any], rung: str) -> dict[str, Any]:
    low, high = ("low", "high") if rung == "int8-minmax" else ("min", "max")
    return {
        name: {"min": item.get(low, item["min"]), "max": item.get(high, item["max"])} if item else item
        for name, item in ranges.items()
    }

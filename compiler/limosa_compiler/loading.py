"""The start of a build: model and data are read, refused or made to fit, and loaded once under limits."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import onnx

from limosa_compiler.arrays import Array
from limosa_compiler.data import Rows, fit_rows, read_arrays, require_labels, split_rows
from limosa_compiler.errors import TooFewRows, UnsupportedShape
from limosa_compiler.ingest import INGEST, parse_model
from limosa_compiler.limited_child import run_limited
from limosa_compiler.limits import LIMITS
from limosa_compiler.metrics import Metric, check_labels
from limosa_compiler.passes import Context, OnPass, PassReport, run_passes
from limosa_compiler.processing.attach import attach
from limosa_compiler.recipe import Recipe
from limosa_compiler.signature import inputs_of, outputs_of
from limosa_contracts.errors import InvalidField
from limosa_contracts.oci import digest_of
from limosa_contracts.serving import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model that devices load, data that fits it, and how it came to that."""

    model: onnx.ModelProto
    context: Context
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    output: str  # that the metric reads
    calibration: Rows
    evaluation: Rows
    tune: Rows
    holdout: Rows
    model_digest: str  # of the file as it was given
    reports: tuple[PassReport, ...]
    tflite: bytes = b""  # given as .tflite; `model` then holds nothing but inputs and outputs

    @property
    def digests(self) -> dict[str, str]:
        """What went into the build -> sha256."""
        return {
            "model": self.model_digest,
            "calibration": f"sha256:{self.calibration.digest}",
            "evaluation": f"sha256:{self.evaluation.digest}",
        }


def load(recipe: Recipe, metric: Metric, *, on_pass: OnPass) -> Loaded:
    """Raises RequestErrors for what is wrong with model, data or recipe; ModelRefused if it does not run."""
    data = recipe.model.read_bytes()
    context = Context(where=recipe.model.name, source_bytes=len(data))
    model, reports = run_passes(parse_model(data, where=recipe.model.name), INGEST, context, on_pass=on_pass)
    model, attached = attach(model, recipe.processing, context)
    for report in attached:
        on_pass(report)
    inputs, outputs = inputs_of(model, recipe.inputs), outputs_of(model)
    output = _metric_output(recipe.output, outputs)
    calibration = fit_rows(
        read_arrays(recipe.calibration), inputs, label=recipe.label, where=recipe.calibration.name
    )
    evaluation = _labelled(recipe, metric, inputs)
    begin = time.perf_counter()
    sample = _first_load(model, evaluation, outputs, where=recipe.model.name)
    first_load = PassReport(
        name="first_load",
        nodes_before=len(model.graph.node),
        nodes_after=len(model.graph.node),
        note="in a child with limits",
        seconds=time.perf_counter() - begin,
    )
    on_pass(first_load)
    if evaluation.labels is not None:
        check_labels(metric, sample[output], evaluation.labels, where=recipe.evaluation.name)
    tune, holdout = split_rows(evaluation, tune_share=recipe.tune_share)
    return Loaded(
        model=model,
        context=context,
        inputs=inputs,
        outputs=outputs,
        output=output,
        calibration=calibration.take(np.arange(min(calibration.count, LIMITS.calibration_rows_max))),
        evaluation=evaluation,
        tune=tune,
        holdout=holdout,
        model_digest=digest_of(data),
        reports=(*reports, *attached, first_load),
    )


def _labelled(recipe: Recipe, metric: Metric, inputs: tuple[TensorSpec, ...]) -> Rows:
    arrays = read_arrays(recipe.evaluation)
    where = recipe.evaluation.name
    rows = fit_rows(arrays, inputs, label=recipe.label, where=where)
    if metric.needs_labels:
        require_labels(rows, label=recipe.label, known=tuple(arrays), where=where)
    if rows.count < LIMITS.evaluation_rows_min:
        raise TooFewRows(
            f"there are {rows.count} evaluation rows",
            where=where,
            why=f"fewer than {LIMITS.evaluation_rows_min} say nothing about a model",
        )
    return rows


def _metric_output(wanted: str, outputs: tuple[TensorSpec, ...]) -> str:
    names = [spec.name for spec in outputs]
    if not wanted:
        return names[0]
    if wanted not in names:
        near = get_close_matches(wanted, names, n=1)
        raise InvalidField(
            f"the model has no output {wanted!r}",
            where="metric.output",
            hint=f"did you mean {near[0]!r}?" if near else f"outputs: {', '.join(names)}",
        )
    return wanted


def _first_load(
    model: onnx.ModelProto, rows: Rows, outputs: tuple[TensorSpec, ...], *, where: str
) -> Mapping[str, Array]:
    """Two rows through the model, in a child with limits (trust 7.2): what breaks, breaks there."""
    few = rows.take(np.arange(2))
    got = run_limited(model.SerializeToString(), few.inputs, what=where)
    for spec in outputs:
        if got[spec.name].ndim == 0 or len(got[spec.name]) != few.count:
            raise UnsupportedShape(
                f"output {spec.name!r} has not one row per input row",
                where=where,
                why=f"2 rows in, shape {list(got[spec.name].shape)} out",
            )
    return got

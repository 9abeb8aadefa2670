"""The start of a build: model and data are read, refused or made to fit, and loaded once under limits."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import onnx

from limosa_compiler.arrays import Array
from limosa_compiler.artifact.signature import inputs_of, outputs_of, states_of_model
from limosa_compiler.calibration.activation_sizes import rows_that_fit
from limosa_compiler.data import Rows, split_rows
from limosa_compiler.errors import UnsupportedShape
from limosa_compiler.ingest.in_child import ingest_limited
from limosa_compiler.ingest.parsing import read_model
from limosa_compiler.loading.given_data import Wanted, read_calibration, read_evaluation
from limosa_compiler.loading.loaded import Loaded
from limosa_compiler.loading.outputs import metric_output, require_row_each
from limosa_compiler.metrics import Metric, check_labels
from limosa_compiler.passes import Context, OnPass, PassReport
from limosa_compiler.processing.attach import attach
from limosa_compiler.recipe import Recipe
from limosa_compiler.running.limited_child import run_limited
from limosa_compiler.running.runner import Runner
from limosa_compiler.running.stateful import State, StatefulRunner, StepStream
from limosa_contracts.oci import digest_of
from limosa_contracts.serving import TensorSpec


def is_tflite(data: bytes) -> bool:
    """By its file identifier, whatever the file is called."""
    return data[4:8] == b"TFL3"


def load(recipe: Recipe, metric: Metric, *, on_pass: OnPass) -> Loaded:
    """Raises RequestErrors for what is wrong with model, data or recipe; ModelRefused if it does not run."""
    data = read_model(recipe.model)
    where = recipe.model.name
    if is_tflite(data):
        from limosa_compiler.litert.load_tflite import load_tflite

        return load_tflite(recipe, data, metric, on_pass=on_pass)
    context = Context(
        where=where, source_bytes=len(data), inputs=recipe.inputs, operators=frozenset(recipe.operators)
    )
    ingested = ingest_limited(data, context, on_pass=on_pass)
    model, attached = attach(ingested.model, recipe.processing, context)
    for report in attached:
        on_pass(report)
    inputs, outputs = inputs_of(model, recipe.inputs), outputs_of(model)
    states = states_of_model(inputs, recipe.inputs)
    output = metric_output(recipe.output, outputs, states, scores=bool(ingested.classes))
    classes = recipe.classes or ingested.classes
    wanted = Wanted.of(recipe, inputs, states, metric=metric, classes=classes, own=not recipe.classes)
    evaluation = read_evaluation(wanted)
    calibration = read_calibration(wanted, evaluation)
    row = _row(evaluation, states)
    sample, first_load = _first_load(model, evaluation, states, outputs, where=where)
    on_pass(first_load)
    every_step = _is_per_step(evaluation, states)
    _check_labels(metric, sample[output], evaluation, where=recipe.evaluation.name, every_step=every_step)
    tune, holdout = split_rows(evaluation, tune_share=recipe.tune_share)
    if states:
        fp32 = model.SerializeToString(deterministic=True)
        calibration = StepStream(
            sequences=calibration,
            make_runner=lambda: StatefulRunner(Runner(fp32, what="calibration"), states),
        )
    return Loaded(
        model=model,
        context=context,
        inputs=inputs,
        outputs=outputs,
        output=output,
        calibration=calibration,
        evaluation=evaluation,
        tune=tune,
        holdout=holdout,
        row=row,
        batch_rows=rows_that_fit(model, row),
        model_digest=digest_of(data),
        metric_digest=metric.code_digest,
        reports=(*ingested.reports, *attached, first_load),
        classes=classes,
        states=states,
        every_step=every_step,
    )


def _row(rows: Rows, states: tuple[State, ...], count: int = 1) -> dict[str, Array]:
    """The first rows of all inputs of the model itself; of a sequence, its first step."""
    few = rows.first(count).inputs
    if not states:
        return dict(few)
    return {name: np.ascontiguousarray(array[:, 0]) for name, array in few.items()} | {
        state.input: state.zeros(count) for state in states
    }


def _is_per_step(rows: Rows, states: tuple[State, ...]) -> bool:
    if not states or rows.labels is None or rows.labels.ndim < 2:
        return False
    return bool(rows.labels.shape[1] == next(iter(rows.inputs.values())).shape[1] > 1)


def _first_load(
    model: onnx.ModelProto,
    rows: Rows,
    states: tuple[State, ...],
    outputs: tuple[TensorSpec, ...],
    *,
    where: str,
) -> tuple[Mapping[str, Array], PassReport]:
    """Two rows through the model, in a child with limits (trust 7.2): what breaks, breaks there."""
    begin = time.perf_counter()
    few = _row(rows, states, 2)
    got = run_limited(model.SerializeToString(), few, what=where)
    require_row_each(got, outputs, rows=2, where=where)
    for state in states:
        if got[state.output].shape[1:] != state.shape:
            raise UnsupportedShape(
                f"output {state.output!r} is not the state {state.input!r} of the next step",
                where=where,
                why=f"{list(got[state.output].shape)} out, {[2, *state.shape]} in",
            )
    report = PassReport(
        name="first_load",
        nodes_before=len(model.graph.node),
        nodes_after=len(model.graph.node),
        note="in a child with limits",
        seconds=time.perf_counter() - begin,
    )
    return got, report


def _check_labels(metric: Metric, answers: Array, rows: Rows, *, where: str, every_step: bool) -> None:
    if rows.labels is None:
        return
    if every_step:
        answers = np.repeat(answers[:, np.newaxis], rows.labels.shape[1], axis=1)
    check_labels(metric, answers, rows.labels, where=where)

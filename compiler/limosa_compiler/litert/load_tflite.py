"""The start of a build whose model is a .tflite file: only the toolchain loads it, never this process."""

from __future__ import annotations

import time

import numpy as np
import onnx
from onnx import helper

from limosa_compiler.artifact.signature import inputs_of, outputs_of
from limosa_compiler.data import split_rows
from limosa_compiler.limits import LIMITS
from limosa_compiler.litert.runner import LitertRunner, Signature
from limosa_compiler.litert.toolchain import require_toolchain
from limosa_compiler.loading.given_data import Wanted, read_calibration, read_evaluation
from limosa_compiler.loading.loaded import Loaded
from limosa_compiler.loading.outputs import metric_output, require_row_each
from limosa_compiler.metrics import Metric, check_labels
from limosa_compiler.passes import Context, OnPass, PassReport
from limosa_compiler.recipe import Recipe
from limosa_contracts.errors import InvalidField, TooLarge
from limosa_contracts.oci import digest_of
from limosa_contracts.serving import NUMPY_OF_DTYPE, TensorSpec


def load_tflite(recipe: Recipe, data: bytes, metric: Metric, *, on_pass: OnPass) -> Loaded:
    """As `loading.load`. Raises InvalidField for what a recipe can ask of ONNX models only."""
    where = recipe.model.name
    if len(data) > LIMITS.model_max_bytes:
        raise TooLarge("the model is too large", where=where, why=f"{len(data)} bytes")
    _refuse_onnx_only(recipe)
    begin = time.perf_counter()
    runner = LitertRunner(require_toolchain(where=where), data, what=where)
    try:
        model = interface_of(runner.signature)
        inputs, outputs = inputs_of(model, recipe.inputs), outputs_of(model)
        output = metric_output(recipe.output, outputs, (), scores=False)
        wanted = Wanted.of(recipe, inputs, (), metric=metric, classes=recipe.classes, own=False)
        evaluation = read_evaluation(wanted)
        calibration = read_calibration(wanted, evaluation)
        sample = runner.run(evaluation.first(2).inputs)
    finally:
        runner.close()
    require_row_each(sample, outputs, rows=2, where=where)
    if evaluation.labels is not None:
        check_labels(metric, sample[output], evaluation.labels, where=recipe.evaluation.name)
    note = f"by LiteRT {runner.signature.runtime}, in a worker with limits"
    report = PassReport(
        name="first_load", nodes_before=0, nodes_after=0, note=note, seconds=time.perf_counter() - begin
    )
    on_pass(report)
    tune, holdout = split_rows(evaluation, tune_share=recipe.tune_share)
    return Loaded(
        model=model,
        context=Context(where=where, source_bytes=len(data), inputs=recipe.inputs),
        inputs=inputs,
        outputs=outputs,
        output=output,
        calibration=calibration,
        evaluation=evaluation,
        tune=tune,
        holdout=holdout,
        row=dict(evaluation.first(1).inputs),
        model_digest=digest_of(data),
        metric_digest=metric.code_digest,
        reports=(report,),
        classes=recipe.classes,
        tflite=data,
    )


def interface_of(signature: Signature) -> onnx.ModelProto:
    """A graph without nodes that takes and gives what the .tflite model does."""
    return helper.make_model(
        helper.make_graph([], "tflite", _values(signature.inputs), _values(signature.outputs)),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def _values(specs: tuple[TensorSpec, ...]) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(
            spec.name,
            helper.np_dtype_to_tensor_dtype(np.dtype(NUMPY_OF_DTYPE[spec.dtype])),
            [None if size == -1 else size for size in spec.shape],
        )
        for spec in specs
    ]


def _refuse_onnx_only(recipe: Recipe) -> None:
    asked = {
        "preprocess or postprocess": bool(recipe.processing),
        "prune": recipe.prune is not None,
        "inputs.NAME.shape, value or state_from": any(
            notes.shape is not None or notes.value is not None or notes.state_from
            for notes in recipe.inputs.values()
        ),
    }
    for what, is_asked in asked.items():
        if is_asked:
            raise InvalidField(
                f"{what} is for ONNX models",
                where=recipe.model.name,
                why="a .tflite model is taken as it is",
                hint="do it before converting, or give the ONNX model",
            )

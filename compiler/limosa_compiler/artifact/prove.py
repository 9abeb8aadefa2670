"""What a chosen variant is shipped with: serving.json, golden vectors, baseline, labels (compiler 2.8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import onnxruntime

from limosa_compiler.arrays import Array
from limosa_compiler.artifact.golden import make_golden
from limosa_compiler.artifact.monitored import features_of
from limosa_compiler.artifact.sketch_baseline import make_baseline
from limosa_compiler.data import Rows
from limosa_compiler.limits import LIMITS
from limosa_compiler.loading.loaded import Loaded
from limosa_compiler.metrics import Metric
from limosa_compiler.recipe import Recipe
from limosa_compiler.running.runs import Runs
from limosa_compiler.running.stateful import StatefulRunner, steps_of
from limosa_compiler.search.candidate import Candidate
from limosa_contracts.canonical import encode_canonical
from limosa_contracts.errors import InvalidField
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS as CONTRACT
from limosa_contracts.serving import (
    BASELINE_FILE,
    FILE,
    GOLDEN_FILE,
    LABELS_FILE,
    Golden,
    Serving,
)

_SUM_ERROR: Final = 1e-3  # of a row of probabilities


def files_of_variant(
    variant: str,
    chosen: Candidate,
    runner: Runs,
    loaded: Loaded,
    recipe: Recipe,
    metric: Metric,
    fp32: Runs,
) -> dict[str, bytes]:
    """The flat folder of one variant. Raises InvalidField if the recipe's class names do not fit."""
    answers = fp32.answers(loaded.tune.inputs, (loaded.output,)) if metric.classifies else iter(())
    probabilities, classes = _about_classes(loaded, (said[loaded.output] for said in answers))
    runner, tune, evaluation = single_rows(runner, loaded)
    golden_file, golden = make_golden(runner, tune, precision=chosen.precision, model_bytes=chosen.size)
    serving = _serving(
        variant,
        chosen,
        loaded,
        recipe,
        golden,
        probabilities=probabilities,
        classes=classes,
        task="classification" if metric.classifies else "regression",
    )
    files: Mapping[str, bytes] = {
        FILE: serving.encode(),
        chosen.model_file: chosen.model,
        GOLDEN_FILE: golden_file,
        BASELINE_FILE: make_baseline(runner, serving, evaluation).encode(),
    }
    return {**files, LABELS_FILE: encode_canonical(list(classes))} if classes else dict(files)


def _about_classes(loaded: Loaded, answers: Iterator[Array]) -> tuple[str, tuple[str, ...]]:
    """(the output of probabilities, names of classes) of a classifier's answers [n, K]; empty for none."""
    checked = [(are_probabilities(some), some[:1].copy()) for some in answers]
    if not checked:
        return "", ()
    probabilities = loaded.output if all(good for good, _ in checked) else ""
    return probabilities, class_names(loaded.classes, checked[0][1])


def single_rows(runner: Runs, loaded: Loaded) -> tuple[Runs, Rows, Rows]:
    """(runner, tune rows, evaluation rows) as a device sees them: of sequences, single steps with states."""
    if not isinstance(runner, StatefulRunner):
        return runner, loaded.tune, loaded.evaluation
    return (
        runner.plain,
        steps_of(runner, loaded.tune, most=LIMITS.golden_steps),
        steps_of(runner, loaded.evaluation, most=LIMITS.baseline_steps),
    )


def are_probabilities(answers: Array) -> bool:
    """Whether every row [K] is not negative and sums to one.

    >>> are_probabilities(np.array([[0.25, 0.75]])), are_probabilities(np.array([[2.0, -1.0]]))
    (True, False)
    """
    if answers.ndim != 2 or answers.shape[1] < 2 or answers.dtype.kind != "f":
        return False
    sums = answers.sum(axis=1, dtype=np.float64)
    return bool((answers >= 0).all() and (np.abs(sums - 1) <= _SUM_ERROR).all())


def class_names(named: tuple[str, ...], answers: Array) -> tuple[str, ...]:
    """As the recipe names them, else "0", "1", …; none if there are too many to count one by one."""
    width = answers.shape[1] if answers.ndim == 2 else len(named)
    if named and len(named) != width:
        raise InvalidField(f"{len(named)} classes are named, the model has {width}", where="classes")
    if width > CONTRACT.classes_max:
        return ()
    return named or tuple(str(number) for number in range(width))


def _serving(
    variant: str,
    chosen: Candidate,
    loaded: Loaded,
    recipe: Recipe,
    golden: Golden,
    *,
    probabilities: str,
    classes: tuple[str, ...],
    task: str,
) -> Serving:
    fed = {state.input for state in loaded.states}
    answered = {state.output for state in loaded.states}
    said: dict[str, JsonValue] = {"states": [state.as_json() for state in loaded.states]}
    serving = Serving(
        model=str(recipe.release.name),
        version=recipe.release.version,
        variant=variant,
        precision=chosen.precision,
        runtime=chosen.runtime,
        runtime_tested=str(chosen.recipe.get("runtime_tested") or onnxruntime.__version__),
        model_file=chosen.model_file,
        inputs=loaded.inputs,
        outputs=loaded.outputs,
        task=task,
        probabilities=probabilities,
        classes=classes,
        features=features_of(
            [spec for spec in loaded.inputs if spec.name not in fed],
            [spec for spec in loaded.outputs if spec.name not in answered],
            recipe.inputs,
            probabilities=probabilities,
        ),
        golden=golden,
        extra=said if loaded.states else {},
    )
    serving.check()
    return serving

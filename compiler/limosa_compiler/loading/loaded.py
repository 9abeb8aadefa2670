"""What a build goes on with once model and data are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from limosa_compiler.arrays import Array
from limosa_compiler.data import Rows, RowStream
from limosa_compiler.limits import LIMITS
from limosa_compiler.passes import Context, PassReport
from limosa_compiler.running.runner import Runner
from limosa_compiler.running.runs import Runs
from limosa_compiler.running.stateful import State, StatefulRunner
from limosa_contracts.serving import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model that devices load, data that fits it, and how it came to that.

    Of a model with states, rows of `evaluation`, `tune` and `holdout` are sequences [steps, ...].
    """

    model: onnx.ModelProto
    context: Context
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    output: str  # that the metric reads
    calibration: RowStream
    evaluation: Rows
    tune: Rows
    holdout: Rows
    row: Mapping[str, Array]  # one row of everything that the model takes, states of zeros too
    model_digest: str  # of the file as it was given
    reports: tuple[PassReport, ...]
    metric_digest: str = ""  # of the code of a metric of the user's own
    classes: tuple[str, ...] = ()  # as the recipe names them, else as the model itself does
    states: tuple[State, ...] = ()
    every_step: bool = False  # labels are per step, not per sequence
    batch_rows: int = LIMITS.batch_rows  # that a candidate runs at once
    tflite: bytes = b""  # given as .tflite; `model` then holds nothing but inputs and outputs

    @property
    def digests(self) -> dict[str, str]:
        """What went into the build -> sha256."""
        return {
            "model": self.model_digest,
            "calibration": f"sha256:{self.calibration.digest}",
            "evaluation": f"sha256:{self.evaluation.digest}",
            **({"metric": self.metric_digest} if self.metric_digest else {}),
        }

    def runner(self, model: bytes, what: str) -> Runs:
        """A candidate in onnxruntime, fed with rows of this data. Raises ModelRefused."""
        plain = Runner(model, what=what, batch_rows=self.batch_rows)
        return with_states(plain, self.states, every_step=self.every_step)

    def sample(self, rows: int) -> dict[str, Array]:
        """About `rows` rows of calibration as the model itself takes them: single steps, with states."""
        parts: list[dict[str, Array]] = []
        for batch in self.calibration.batches(min(rows, LIMITS.batch_rows)):
            parts.append(batch)
            if sum(len(next(iter(part.values()))) for part in parts) >= rows:
                break
        return {name: np.concatenate([part[name] for part in parts])[:rows] for name in parts[0]}


def with_states(plain: Runs, states: tuple[State, ...], *, every_step: bool = False) -> Runs:
    return StatefulRunner(plain, states, every_step=every_step) if states else plain

"""What a benchmark needs to know of one model: its rows, its labels, and what the labels are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from limosa_contracts.json_value import JsonValue

Arrays: TypeAlias = Mapping[str, npt.NDArray[np.generic]]
Answers: TypeAlias = Callable[[Arrays], npt.NDArray[np.floating]]
"""The fp32 model's first output for all rows: the truth where there are no labels."""
LABEL = "label"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Arrays are named like the model's inputs, rows first; `evaluation` also holds `label`.

    `metric` and `inputs` are blocks of a recipe. `truth` says in words where the labels come from:
    labels are facts about the rows, agreement is what fp32 itself answers.
    """

    calibration: Arrays
    evaluation: Arrays
    truth: str
    metric: Mapping[str, JsonValue] = field(default_factory=lambda: {"name": "accuracy"})
    inputs: Mapping[str, JsonValue] = field(default_factory=dict)

    def take(self, calibration: int, evaluation: int) -> Case:
        """The first rows only."""
        return Case(
            calibration={name: rows[:calibration] for name, rows in self.calibration.items()},
            evaluation={name: rows[:evaluation] for name, rows in self.evaluation.items()},
            truth=self.truth,
            metric=self.metric,
            inputs=self.inputs,
        )

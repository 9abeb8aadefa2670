"""How closely probabilities agree: `python:benchmarks.datasets.fidelity:fidelity`, for data without labels.

1 − mean |p − p of fp32|; one point is one hundredth of probability, on average.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

NAME: Final = "python:benchmarks.datasets.fidelity:fidelity"


def fidelity(answers: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """[N, 1]: answers are probabilities [N, K], of which the last counts; labels what fp32 gave for it."""
    return np.asarray(1.0 - np.abs(answers[:, -1].astype(np.float64) - labels), np.float64)[:, None]


fidelity.is_share = True  # type: ignore[attr-defined]  # how a metric of one's own says it

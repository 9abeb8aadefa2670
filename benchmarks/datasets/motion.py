"""Wrist motion: the demo's windows (seglearn's watch data, split by person)."""

from __future__ import annotations

import numpy as np

from benchmarks.datasets.case import LABEL, Case
from benchmarks.real_models import COMMITTED
from limosa_devices.demo.motion import INPUT_NAME

ASSETS = COMMITTED["motion"].parent


def motion() -> Case:
    with (
        np.load(ASSETS / "calibration.npz") as calibration,
        np.load(ASSETS / "evaluation.npz") as evaluation,
    ):
        return Case(
            calibration={INPUT_NAME: calibration[INPUT_NAME].astype(np.float32)},
            evaluation={
                INPUT_NAME: evaluation[INPUT_NAME].astype(np.float32),
                LABEL: evaluation["label"],
            },
            truth="labels of the data set, people that the model never saw",
        )

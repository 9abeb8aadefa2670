"""A case on disk: what a build reads and what a child process is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.datasets.case import Arrays, Case

CALIBRATION: Final = "calibration.npz"
EVALUATION: Final = "evaluation.npz"
NOTES: Final = "case.json"


def write_case(case: Case, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / CALIBRATION, case.calibration)
    _write(folder / EVALUATION, case.evaluation)
    notes = {"truth": case.truth, "metric": dict(case.metric), "inputs": dict(case.inputs)}
    (folder / NOTES).write_text(json.dumps(notes), encoding="utf-8")


def read_case(folder: Path) -> Case:
    return Case(
        calibration=_read(folder / CALIBRATION), evaluation=_read(folder / EVALUATION), **read_notes(folder)
    )


def read_notes(folder: Path) -> dict[str, Any]:
    """Truth, metric and inputs, without the rows: a build reads those itself, and its memory is measured."""
    notes: dict[str, Any] = json.loads((folder / NOTES).read_text(encoding="utf-8"))
    return notes


def _write(path: Path, arrays: Arrays) -> None:
    """Names of inputs may hold what a folder of files could not, such as `input:0`."""
    with path.open("wb") as stream:
        np.savez(stream, **dict(arrays))  # type: ignore[arg-type]  # numpy types only its own option here


def _read(path: Path) -> Arrays:
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}

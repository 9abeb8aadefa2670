"""Rows with labels for every real model: `python benchmarks/real_data.py [NAME …]`.

`case_of(name)` gives them to benchmarks and tests; the same rows on every run and machine. As a script:
prints how many rows there are and where the truth comes from.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

import numpy as np
import numpy.typing as npt
import onnxruntime

from benchmarks.datasets.case import Arrays, Case
from benchmarks.real_models import model_path

BATCH: Final = 16
Maker: TypeAlias = Callable[[], Case]


def case_of(name: str) -> Case:
    """Calibration and evaluation rows of the model `name`. Raises Unobtainable, KeyError."""
    return _makers()[name]()


def case_names() -> tuple[str, ...]:
    return tuple(_makers())


def _makers() -> Mapping[str, Maker]:
    """Imported when asked for: some of them need Pillow (the extra `bench`)."""
    from benchmarks.datasets.digits import digits
    from benchmarks.datasets.file_types import file_types
    from benchmarks.datasets.motion import motion
    from benchmarks.datasets.pages import orientation
    from benchmarks.datasets.pictures import nsfw
    from benchmarks.datasets.speech import speech
    from benchmarks.datasets.text_lines import ocr_cls, ocr_rec
    from benchmarks.datasets.vowels import vowels

    return {
        "motion": motion,
        "mnist": digits,
        "vowels": vowels,
        "magika": file_types,
        "silero_vad": speech,
        "ocr_cls": ocr_cls,
        "orientation": orientation,
        "nsfw": lambda: nsfw(lambda rows: fp32_answers("nsfw", rows)),
        "ocr_rec": ocr_rec,
    }


def fp32_answers(name: str, rows: Arrays) -> npt.NDArray[np.floating]:
    """The first output of the model as published, a few rows at a time."""
    session = onnxruntime.InferenceSession(str(model_path(name)), providers=["CPUExecutionProvider"])
    count = len(next(iter(rows.values())))
    return np.concatenate(
        [
            session.run(None, {key: array[begin : begin + BATCH] for key, array in rows.items()})[0]
            for begin in range(0, count, BATCH)
        ]
    )


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(case_names()))
    arguments = parser.parse_args(words)
    if unknown := sorted(set(arguments.names) - set(case_names())):
        parser.error(f"not known: {', '.join(unknown)}")
    for name in arguments.names or case_names():
        begin = time.perf_counter()
        case = case_of(name)
        shapes = ", ".join(f"{key} {list(rows.shape[1:])}" for key, rows in case.evaluation.items())
        calibration, evaluation = (
            len(next(iter(part.values()))) for part in (case.calibration, case.evaluation)
        )
        spent = time.perf_counter() - begin
        sys.stdout.write(f"{name}: {calibration} calibration and {evaluation} evaluation rows of {shapes}; ")
        sys.stdout.write(f"{case.truth} ({spent:.1f} s)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

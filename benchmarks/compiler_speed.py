"""What a whole build costs: `python benchmarks/compiler_speed.py [--only NAME …] [--quick] [--json]`.

1. wall time, split by pass, and peak memory of all the build's processes, for the models of 16 to 24 MB
   with 200 calibration and 500 evaluation rows (compiler 8)
2. peak memory with 2,000 calibration rows over that with 200, on a model whose rows are small beside it
   and on one whose rows are large

Settings are the defaults, the target is this machine's generic profile. `--quick`: a small model, once.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

import numpy as np

from benchmarks.bars import Bar, finish, print_table
from benchmarks.datasets.case import Case
from benchmarks.process_tree import Watched, watch
from benchmarks.quality.case_folder import write_case
from benchmarks.quality.ours import RESULT, Built, command_for, environment, read_result
from benchmarks.real_data import case_names, case_of
from benchmarks.real_models import model_path

LARGE: Final = ("nsfw", "ocr_rec")
MIB: Final = 1024 * 1024
CALIBRATION, EVALUATION = 200, 500
MANY: Final = 2000
SECONDS_BAR, BYTES_BAR, FLAT_BAR = 180.0, 2e9, 1.15
TIMEOUT_S: Final = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    name: str
    calibration: int  # rows
    evaluation: int
    watched: Watched
    built: Built | None

    @property
    def error(self) -> str:
        if self.built is None:
            lines = [line for line in self.watched.stderr.splitlines() if line.strip()] or [""]
            return f"exit {self.watched.returncode}: {lines[-1][:200]}"
        return self.built.error

    def shown(self) -> dict[str, object]:
        return {
            "model": self.name,
            "calibration": self.calibration,
            "evaluation": self.evaluation,
            "seconds": round(self.watched.seconds, 1),
            "cpu seconds": round(self.watched.cpu_seconds, 1),
            "peak MiB": self.watched.peak_bytes // MIB,
            "chosen": self.error[:110] or (self.built.candidate if self.built else ""),
        }


def run(name: str, case: Case, model: Path) -> Run:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_case(case, folder)
        command = command_for(name, model, folder)
        try:
            # No calibration table of an earlier run: it would spare the pass that reads the rows.
            fresh = environment() | {"XDG_CACHE_HOME": str(folder / "cache")}
            watched = watch(command, environment=fresh, timeout_s=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            watched = Watched(returncode=-9, seconds=TIMEOUT_S, cpu_seconds=0, peak_bytes=0, stderr="no end")
        built = read_result(folder) if (folder / RESULT).exists() else None
    count = len(next(iter(case.calibration.values()))), len(next(iter(case.evaluation.values())))
    return Run(name=name, calibration=count[0], evaluation=count[1], watched=watched, built=built)


def with_rows(case: Case, calibration: int) -> Case:
    """The same rows again and again: what is measured is memory, which does not look at values."""
    repeated = {
        name: np.resize(rows, (calibration, *rows.shape[1:])) for name, rows in case.calibration.items()
    }
    return Case(
        calibration=repeated,
        evaluation=case.evaluation,
        truth=case.truth,
        metric=case.metric,
        inputs=case.inputs,
    )


def passes_of(item: Run) -> list[Mapping[str, object]]:
    passes = item.built.passes if item.built else ()
    return [{"model": item.name, "pass": name, "seconds": seconds} for name, seconds in passes]


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one object as the last line of stdout")
    parser.add_argument("--quick", action="store_true", help="the motion model only")
    parser.add_argument("--only", nargs="+", choices=case_names(), default=LARGE, metavar="NAME")
    arguments = parser.parse_args(words)
    names = ("motion",) if arguments.quick else arguments.only
    rows: list[Mapping[str, object]] = []
    bars: list[Bar] = []
    for name in names:
        case = case_of(name).take(CALIBRATION, EVALUATION)
        item = run(name, case, model_path(name))
        print_table([item.shown()])
        print_table(passes_of(item))
        rows += [item.shown(), *passes_of(item)]
        bars += [
            Bar(name=f"{name}: builds that failed", limit=0, value=float(bool(item.error))),
            Bar(name=f"{name}: a build, seconds", limit=SECONDS_BAR, value=item.watched.seconds),
            Bar(
                name=f"{name}: peak memory of its processes, bytes",
                limit=BYTES_BAR,
                value=item.watched.peak_bytes,
            ),
        ]
    for name in ("motion",) if arguments.quick else ("magika", "orientation"):
        case = case_of(name)
        few, many = (run(name, with_rows(case, count), model_path(name)) for count in (CALIBRATION, MANY))
        print_table([few.shown(), many.shown()])
        rows += [few.shown(), many.shown()]
        ratio = many.watched.peak_bytes / max(few.watched.peak_bytes, 1)
        what = f"{name}: peak memory with {MANY} calibration rows over {CALIBRATION}"
        bars.append(Bar(name=what, limit=FLAT_BAR, value=ratio))
    return finish(rows, bars, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A wall clock that a test sets, for every Python process that gets `env`: real processes, wrong time.

What counts intervals (`time.monotonic`) goes on as it is, as it does when the clock of a machine is set.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

# Python imports `sitecustomize` at start, before anything of a program.
SITE = """
import os, time
_real, _file = time.time, os.environ["LIMOSA_TEST_CLOCK"]
def _shifted():
    with open(_file) as file:
        return _real() + float(file.read())
time.time = _shifted
"""


@dataclass(frozen=True)
class ShiftedClock:
    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "site").mkdir(parents=True)
        (self.folder / "site" / "sitecustomize.py").write_text(SITE)
        self.right()

    @property
    def env(self) -> dict[str, str]:
        return {
            "PYTHONPATH": str(self.folder / "site"),
            "LIMOSA_TEST_CLOCK": str(self.folder / "offset"),
        }

    def shift(self, seconds: float) -> None:
        fresh = self.folder / "offset.new"
        fresh.write_text(repr(seconds))
        fresh.replace(self.folder / "offset")  # a reader sees the old one or the new one

    def set_to(self, unix_s: float) -> None:
        self.shift(unix_s - time.time())

    def right(self) -> None:
        self.shift(0.0)

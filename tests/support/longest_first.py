"""The order tests start in: those that take longest first, so that no worker is left with one at the end.

What starts whole fleets as processes is in groups (`xdist_group`) beside: one world at a time, for a second
one would only make the first wait.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

LONGEST: Final = (
    "tests/e2e",
    "tests/docs",
    "tests/fleet_server/reliability",
    "tests/fleet_server/deploy",
    "tests/benchmarks",
    "tests/test_packaging.py",
    "tests/compiler/litert",
    "tests/fleet_server/test_server_run.py",
    "tests/fleet_server/test_openapi.py",
    "tests/fleet_server/test_controller.py",
    "tests/fleet_server/store",
    "tests/fleet_server/trust",
    "tests/agent/attacks",
    "tests/agent/health",
    "tests/agent/test_supervisor.py",
    "tests/agent/test_operator.py",
    "tests/agent/test_hostile_world.py",
    "tests/compiler/test_bad_input.py",
)
"""Folders and files with tests of ten seconds and more; the others follow as they are found."""


def place_of(path: Path, root: Path) -> int:
    """A key to sort by; equal ones keep their order.

    >>> place_of(Path("/r/tests/e2e/test_demo.py"), Path("/r"))
    0
    >>> place_of(Path("/r/tests/test_house.py"), Path("/r")) == len(LONGEST)
    True
    """
    places = (number for number, name in enumerate(LONGEST) if path.is_relative_to(root / name))
    return next(places, len(LONGEST))


def workers_for(cores: int) -> int:
    """Twice the cores: half of the time a test waits for what it started."""
    return max(3, 2 * cores)

"""Power lost at any instruction: every crash state of every path, and every sync and rename left out in
turn to show that it is needed (agent 8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.explore import Explorer, told
from tests.crash.lab import Lab
from tests.crash.paths import PATHS
from tests.crash.recorder import Recording, Stage

pytestmark = [pytest.mark.timeout(3000), pytest.mark.xdist_group("crash")]
SHORT_STATES = 12  # of each path, spread over all its crash points
SHORT_MUTANTS = 4
CAUGHT_LEAST = 0.9


def recorded(
    laboratory: Lab, staged: Stage, name: str, folder: Path, *, states: int | None = None
) -> tuple[Recording, Explorer]:
    path = PATHS[name](laboratory)
    device = laboratory.place(path.base, folder / "device")
    recording = staged.record(path.program, path.args(device), folder=device)
    assert recording.run.code == 0, recording.run.log
    return recording, Explorer(path.judge, folder, recording.made, most=states)


@pytest.mark.parametrize("name", PATHS)
def test_power_lost_anywhere_breaks_no_promise(
    laboratory: Lab, staged: Stage, name: str, tmp_path: Path
) -> None:
    recording, explorer = recorded(laboratory, staged, name, tmp_path, states=SHORT_STATES)
    explored = explorer.explore(recording.disk)
    print(told(name, explored))
    assert explored.states >= min(7, SHORT_STATES)
    assert not explored.violations, explored.violations[0]


@pytest.mark.parametrize("name", ["install", "commit", "renewal"])
def test_some_syncs_and_renames_left_out_are_missed(
    laboratory: Lab, staged: Stage, name: str, tmp_path: Path
) -> None:
    recording, explorer = recorded(laboratory, staged, name, tmp_path)
    mutants = explorer.mutants(recording.disk, most=SHORT_MUTANTS)
    print("\n".join(f"{name}: {m.what}: {(m.caught_by or 'not caught').splitlines()[-1]}" for m in mutants))
    assert len(mutants) == SHORT_MUTANTS
    assert all(mutant.caught_by for mutant in mutants)


@pytest.mark.soak
def test_every_crash_state_keeps_every_promise_and_nine_of_ten_mutants_do_not(
    laboratory: Lab, staged: Stage, tmp_path: Path
) -> None:
    """Prints the figures, and each mutant that lived."""
    states, caught, tried = 0, 0, 0
    for name in PATHS:
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        recording, explorer = recorded(laboratory, staged, name, folder)
        explored = explorer.explore(recording.disk)
        mutants = explorer.mutants(recording.disk)
        print(told(name, explored, mutants), flush=True)
        assert not explored.violations, explored.violations[0]
        states += explored.states
        caught += sum(mutant.caught_by is not None for mutant in mutants)
        tried += len(mutants)
    print(f"in all: {states} crash states, 0 violations; {caught} of {tried} mutants caught")
    assert caught >= CAUGHT_LEAST * tried

"""Power lost at any instruction: every crash state of every path, and every sync and rename left out in
turn to show that it is needed (agent 8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.explore import Explorer, told
from tests.crash.lab import Lab
from tests.crash.paths import PATHS
from tests.crash.recorder import Stage

pytestmark = [pytest.mark.timeout(3500), pytest.mark.xdist_group("crash")]
SHORT_STATES = 10  # of each path, spread over all its crash points
SHORT_MUTANTS = {"enrolment": 9, "renewal": 12, "collection": 2}
CAUGHT_LEAST = 0.9


def recorded(laboratory: Lab, staged: Stage, name: str, folder: Path) -> Explorer:
    path = PATHS[name](laboratory)
    device = laboratory.place(path.base, folder / "device")
    recording = staged.record(path.program, path.args(device), folder=device)
    assert recording.run.code == 0, recording.run.log
    return Explorer(recording.disk, recording.made, path.judge, folder)


@pytest.mark.parametrize("name", PATHS)
def test_power_lost_anywhere_breaks_no_promise(
    laboratory: Lab, staged: Stage, name: str, tmp_path: Path
) -> None:
    explored = recorded(laboratory, staged, name, tmp_path).explore(most=SHORT_STATES)
    assert explored.states == SHORT_STATES
    assert not explored.violations, explored.violations[0]


@pytest.mark.parametrize("name", SHORT_MUTANTS)
def test_syncs_and_renames_left_out_are_missed(
    laboratory: Lab, staged: Stage, name: str, tmp_path: Path
) -> None:
    mutants = recorded(laboratory, staged, name, tmp_path).mutants(most=SHORT_MUTANTS[name])
    assert len(mutants) == SHORT_MUTANTS[name]
    assert sum(mutant.caught_by is not None for mutant in mutants) >= CAUGHT_LEAST * len(mutants), mutants


def test_stock_client_is_found_to_break_what_ours_keeps(
    laboratory: Lab, staged: Stage, tmp_path: Path
) -> None:
    """trust 3.2: that the explorer finds nothing in our refresh is worth as much as what it finds here."""
    path = PATHS["refresh"](laboratory)
    device = laboratory.place(path.base, tmp_path / "device")
    recording = staged.record("stock fetch", path.args(device), folder=device)
    assert recording.run.code == 0, recording.run.log
    explored = Explorer(recording.disk, recording.made, path.judge, tmp_path).explore(most=30)
    print(told("the stock client's refresh", explored))
    broken = " ".join(violation.why for violation in explored.violations)
    assert "is not whole" in broken
    assert "root.json is missing" in broken


@pytest.mark.soak
def test_every_crash_state_keeps_every_promise_and_nine_of_ten_mutants_do_not(
    laboratory: Lab, staged: Stage, tmp_path: Path
) -> None:
    """Prints the figures, and each mutant that lived."""
    states, caught, tried = 0, 0, 0
    for name in PATHS:
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        explorer = recorded(laboratory, staged, name, folder)
        explored, mutants = explorer.explore(), explorer.mutants()
        print(told(name, explored, mutants), flush=True)
        assert not explored.violations, explored.violations[0]
        states += explored.states
        caught += sum(mutant.caught_by is not None for mutant in mutants)
        tried += sum(not mutant.same for mutant in mutants)
    print(f"in all: {states} crash states, 0 violations; {caught} of {tried} mutants caught")
    assert caught >= CAUGHT_LEAST * tried

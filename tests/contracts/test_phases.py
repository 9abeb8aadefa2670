from __future__ import annotations

import pytest

from limosa_contracts.phases import EXECUTION_OF_PHASE, Execution, Phase

GOLDEN = {
    "IDLE": ("NOTIFIED", "notified"),
    "RESOLVING": ("IN_PROGRESS", "downloading"),
    "DOWNLOADING": ("IN_PROGRESS", "downloading"),
    "VERIFYING": ("IN_PROGRESS", "downloading"),
    "STAGED": ("IN_PROGRESS", "staged"),
    "WAITING_FOR_WINDOW": ("IN_PROGRESS", "waiting_for_window"),
    "SELF_TESTING": ("IN_PROGRESS", "self_testing"),
    "ACTIVATING": ("IN_PROGRESS", "activating"),
    "PROBATION": ("IN_PROGRESS", "probation"),
    "COMMITTED": ("SUCCEEDED", "committed"),
    "REJECTED": ("REJECTED", "rejected"),
    "FALLING_BACK": ("IN_PROGRESS", "falling_back"),
    "FELL_BACK": ("ROLLED_BACK", "fell_back"),
    "REMOVING": ("IN_PROGRESS", "removing"),
    "REMOVED": ("REMOVED", "removed"),
}
"""The table as devices in the field report by it."""


def test_table_is_the_agreed_one() -> None:
    found = {phase.value: (state.value, step) for phase, (state, step) in EXECUTION_OF_PHASE.items()}
    assert found == GOLDEN


@pytest.mark.parametrize("phase", Phase)
def test_attempt_that_ended_on_the_device_has_ended_on_the_server_and_no_other(phase: Phase) -> None:
    state, _ = EXECUTION_OF_PHASE[phase]
    assert state.terminal == phase.terminal


@pytest.mark.parametrize("state", Execution)
def test_execution_never_counts_twice(state: Execution) -> None:
    assert not (state.succeeded and state.failed)
    assert state.executed == (state.succeeded or state.failed)
    assert state.terminal or not state.executed


def test_operators_doing_is_not_held_against_the_release() -> None:
    for state in (Execution.REMOVED, Execution.CANCELED, Execution.SUPERSEDED):
        assert state.terminal
        assert not state.executed

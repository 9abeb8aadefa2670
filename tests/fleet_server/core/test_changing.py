"""A changed copy is what `dataclasses.replace` gives."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.phases import Execution
from limosa_server.core.changing import changed
from limosa_server.core.counts import Counts
from limosa_server.core.execution import DeviceExecution
from limosa_server.core.wave import Wave


@given(state=st.sampled_from(Execution), attempt=st.integers(), away=st.booleans())
def test_of_an_execution(state: Execution, attempt: int, away: bool) -> None:
    run = DeviceExecution(device="d", wave=1, reason="before")
    assert changed(run, state=state, attempt=attempt, away=away) == replace(
        run, state=state, attempt=attempt, away=away
    )
    assert run == DeviceExecution(device="d", wave=1, reason="before")


def test_of_a_wave_of_which_nothing_changes() -> None:
    wave = Wave(
        index=0, name="a", bake_s=1.0, pause_after=False, size=3, counts=Counts({Execution.QUEUED: 3})
    )
    assert changed(wave) == wave
    assert changed(wave) is not wave


def test_a_field_that_is_not_there_is_refused() -> None:
    values: dict[str, object] = {"phase": "x"}
    with pytest.raises(AttributeError):
        changed(DeviceExecution(device="d", wave=1), **values)  # type: ignore[arg-type]  # what is tested


def test_what_checks_itself_when_it_is_made_is_refused() -> None:
    @dataclass(frozen=True, slots=True)
    class Checked:
        low: int
        high: int

        def __post_init__(self) -> None:
            assert self.low <= self.high

    with pytest.raises(TypeError):
        changed(Checked(1, 2), low=3)

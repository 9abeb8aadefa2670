"""A device whose clock is wrong: 1970, 2100, an hour back, and none over a reboot (trust 3.3, agent 4.4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limosa_contracts.topics import Suffix
from limosa_contracts.window import Window
from tests.agent.device import Device
from tests.agent.fleet import Fleet
from tests.support.shifted_clock import ShiftedClock

HOUR = 3600.0
YEAR_2100 = 4_102_444_800.0


@pytest.fixture
def clock(device: Device, tmp_path: Path) -> ShiftedClock:
    shifted = ShiftedClock(tmp_path / "clock")
    device.env.update(shifted.env)
    return shifted


def committed(device: Device, fleet: Fleet, version: str, *, seconds: float = 0.3) -> None:
    fleet.want(device.publish(version), rollout=f"r{version}", seconds=seconds)
    device.wait_for(lambda: fleet.serves(version), f"{version} serves")
    device.wait_for(lambda: "COMMITTED" in fleet.phases(f"r{version}"), f"{version} committed")


def slots(device: Device) -> dict[str, Any]:
    models: list[dict[str, Any]] = json.loads(device.command("slots", "--json").stdout)["models"]
    return models[0]


def clock_told(fleet: Fleet) -> str:
    told = fleet.reported()
    return told.clock if told else ""


def windows(fleet: Fleet) -> list[Window]:
    with fleet.lock:
        rows = [message for message in fleet.store.rows if message.suffix is Suffix.WINDOW]
    return [Window.parse(message.payload) for message in rows]


def test_clock_set_back_and_forth_in_a_trial_neither_passes_nor_fails_it(
    device: Device, fleet: Fleet, clock: ShiftedClock
) -> None:
    device.start()
    committed(device, fleet, "1.0.0")
    fleet.want(device.publish("2.0.0"), rollout="r2", seconds=4.0, max_seconds=8.0)
    device.wait_for(lambda: "PROBATION" in fleet.phases("r2"), "2.0.0 on trial")
    clock.set_to(YEAR_2100)
    device.wait_for(lambda: clock_told(fleet) == "none", "the clock of 2100 is told as none")
    assert slots(device)["phase"] == "PROBATION", "a hundred years have not passed"
    clock.shift(-HOUR)
    device.wait_for(lambda: clock_told(fleet) == "rtc", "an hour back may be right")
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r2"), "2.0.0 committed")
    told = next(e for e in fleet.events() if e.rollout == "r2" and e.phase.value == "COMMITTED")
    elapsed_s = told.reason.evidence["elapsed_s"]
    assert isinstance(elapsed_s, float)
    assert 4.0 <= elapsed_s < 60.0
    assert device.stop() == 0


def test_device_that_wakes_up_in_1970_serves_what_it_had_and_goes_on_when_its_clock_is_set(
    device: Device, fleet: Fleet, clock: ShiftedClock
) -> None:
    device.start()
    committed(device, fleet, "1.0.0")
    before = slots(device)
    device.kill()  # no power, and no battery for the clock

    clock.set_to(1000.0)
    device.start()
    assert device.ask(1.0) == 1.0
    after = slots(device)
    assert {k: after[k] for k in ("active", "previous", "quarantine", "committed_counter")} == {
        k: before[k] for k in ("active", "previous", "quarantine", "committed_counter")
    }
    for _ in range(25):
        assert device.ask(1.0) == 1.0
    fleet.want(device.publish("3.0.0"), rollout="r3", seconds=0.3)

    clock.right()
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r3"), "3.0.0 committed")
    assert device.ask(1.0) == 3.0
    dated = {window.version: window.clock for window in windows(fleet)}
    assert dated["1.0.0"] == "none", "what was counted in 1970 says so"
    assert "FELL_BACK" not in fleet.phases("r1.0.0") + fleet.phases("r3")
    assert device.stop() == 0


@pytest.mark.soak
def test_device_in_2100_keeps_its_model_and_installs_again_when_its_clock_is_right(
    device: Device, fleet: Fleet, clock: ShiftedClock
) -> None:
    device.start()
    committed(device, fleet, "1.0.0")
    device.kill()
    clock.set_to(YEAR_2100)
    device.start()
    assert device.ask(1.0) == 1.0
    fleet.want(device.publish("2.0.0"), rollout="r2", seconds=0.3)
    for _ in range(25):
        assert device.ask(1.0) == 1.0, "nothing new is installed, nothing old is taken away"
    device.kill()
    clock.right()
    device.start()
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r2"), "2.0.0 committed: 2100 was never believed")
    assert slots(device)["previous"]["version"] == "1.0.0"
    assert device.stop() == 0

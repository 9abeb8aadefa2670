"""Real models that crash, hang, spin, hoard, or answer nonsense: contained, found and fallen back from.

One device is offered them one after the other; whatever comes, the good version answers again (issue of
agent 4.2, 4.3; the processes are real, and so are the limits, only shorter).
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from limosa_agent.control_socket import ask_agent
from limosa_contracts.event import UpdateEvent
from limosa_contracts.promise import VariantPromise
from tests.agent.device import Device
from tests.agent.fleet import Fleet
from tests.agent.health.bad_models import MIB, hoard_plan, nan_plan
from tests.agent.serving.releases import Plan, endless_plan, slow_plan

HEALTH = f"""
[health]
hang_s = 1.5
run_max_s = 0.6
min_sample = 5
memory_ratio = 100.0
growth_bytes = {24 * MIB}
growth_steps = 3
growth_step_s = 0.4
promise_tries = 2
watch_window_s = 0.3
sustain_s = 1.0
"""


def ask(device: Device, value: float) -> None:
    """Whatever comes of it; null stands for NaN."""
    with suppress(OSError, HTTPException, AssertionError, TypeError):
        device.ask(value)


@contextmanager
def asked_all_the_time(device: Device, values: Iterator[float]) -> Iterator[None]:
    """Live traffic beside the test, one request after the other."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            ask(device, next(values))
            over.wait(0.02)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


def always(value: float) -> Iterator[float]:
    while True:
        yield value


def rising(step: float) -> Iterator[float]:
    value = 0.0
    while True:
        value -= step
        yield value


def workers(device: Device) -> list[int]:
    return list(json.loads(device.command("status", "--json").stdout)["workers"])


def good(device: Device, fleet: Fleet) -> None:
    device.start()
    fleet.want(device.publish("1.0.0"), rollout="r1", seconds=0.3)
    device.wait_for(lambda: fleet.serves("1.0.0") and "COMMITTED" in fleet.phases("r1"), "1.0.0 committed")


def verdict(fleet: Fleet, rollout: str, phase: str = "FELL_BACK") -> UpdateEvent:
    return next(e for e in fleet.events() if e.rollout == rollout and e.phase.value == phase)


def on_trial(device: Device, fleet: Fleet, version: str, plan: Plan | None) -> str:
    rollout = f"r{version}"
    fleet.want(device.publish(version, plan), rollout=rollout, seconds=60, max_latency_ratio=1000)
    device.wait_for(lambda: "PROBATION" in fleet.phases(rollout), f"{version} on trial")
    return rollout


def fell_back(device: Device, fleet: Fleet, rollout: str, code: str) -> UpdateEvent:
    device.wait_for(lambda: "FELL_BACK" in fleet.phases(rollout), f"{rollout} falls back")
    told = verdict(fleet, rollout)
    assert told.reason.code == code, told.reason
    device.wait_for(lambda: answers(device), "1.0.0 answers again")
    return told


def answers(device: Device) -> bool:
    try:
        return device.ask(1.0) == 1.0
    except (OSError, HTTPException, AssertionError):
        return False


def with_health(device: Device, more: str = "") -> None:
    device.config.write_text(device.config.read_text() + HEALTH + more)


def rejected(
    device: Device, fleet: Fleet, version: str, plan: Plan | None, promises: dict[str, VariantPromise]
) -> UpdateEvent:
    rollout = f"r{version}"
    fleet.want(device.publish(version, plan, promises=promises), rollout=rollout)
    device.wait_for(lambda: "REJECTED" in fleet.phases(rollout), f"{version} rejected")
    assert "ACTIVATING" not in fleet.phases(rollout)
    return verdict(fleet, rollout, "REJECTED")


def healthy(device: Device) -> bool:
    return ask_agent(device.state / "control.sock", "health")["healthy"] is True


def fell_back_under_load(device: Device, fleet: Fleet, rollout: str, code: str) -> UpdateEvent:
    device.wait_for(lambda: "FELL_BACK" in fleet.phases(rollout), f"{rollout} falls back")
    told = verdict(fleet, rollout)
    assert told.reason.code == code, told.reason
    return told


def ask_in_vain(device: Device) -> None:
    """The input that never ends; nobody waits for its answer."""
    thread = threading.Thread(target=ask, args=(device, -1.0), daemon=True)
    thread.start()
    thread.join(0.2)


@pytest.fixture
def camera(place: Path) -> Callable[[bool], str]:
    """A program of the operator that fails while a file is there; the TOML that asks it."""
    program, broken = place / "camera", place / "broken"
    program.write_text(f"#!/bin/sh\ntest ! -e {broken} || {{ echo no frame; exit 7; }}\n")
    program.chmod(0o755)

    def breaks(now: bool) -> str:
        broken.touch() if now else broken.unlink(missing_ok=True)
        return (
            f'probe_programs = ["{program}"]\n[[probes]]\nname = "camera"\nexec = ["{program}"]\n'
            "interval_s = 0.1\nfail = 2\nof = 3\nstart_grace_s = 0.2\n"
        )

    return breaks


def test_one_bad_model_after_another_is_found_and_fallen_back_from(device: Device, fleet: Fleet) -> None:
    with_health(device)
    good(device, fleet)

    slow = {"int8": VariantPromise(max_latency_us=1)}
    told = rejected(device, fleet, "2.0.0", slow_plan("2.0.0", size=256, layers=2), slow)
    assert (told.reason.code, told.reason.evidence["max_us"]) == ("too_slow", 1)
    told = rejected(device, fleet, "3.0.0", None, {"int8": VariantPromise(max_memory_bytes=4096)})
    assert (told.reason.code, told.reason.evidence["max_memory_bytes"]) == ("too_large", 4096)

    rollout = on_trial(device, fleet, "4.0.0", nan_plan("4.0.0"))
    with asked_all_the_time(device, always(-1.0)):
        told = fell_back_under_load(device, fleet, rollout, "nan_outputs")
    assert told.reason.evidence["max_error_ratio"] == 0.02

    rollout = on_trial(device, fleet, "5.0.0", endless_plan("5.0.0", slow=False))
    ask_in_vain(device)
    told = fell_back(device, fleet, rollout, "worker_hung")
    assert told.reason.evidence["hung"] is True

    rollout = on_trial(device, fleet, "6.0.0", hoard_plan("6.0.0"))
    with asked_all_the_time(device, rising(2.0)):
        told = fell_back_under_load(device, fleet, rollout, "memory_growth")
    grown = told.reason.evidence
    assert grown["to_bytes"] - grown["from_bytes"] >= grown["growth_max_bytes"] == 24 * MIB  # type: ignore[operator]  # numbers
    device.wait_for(lambda: answers(device), "1.0.0 answers again")
    assert device.stop() == 0


def test_a_probe_judges_the_trial_and_nan_for_long_a_committed_version(
    device: Device, fleet: Fleet, camera: Callable[[bool], str]
) -> None:
    with_health(device, camera(False))
    good(device, fleet)
    rollout = on_trial(device, fleet, "2.0.0", None)
    camera(True)
    told = fell_back(device, fleet, rollout, "probe_failed")
    assert told.reason.evidence["probe"] == "camera"
    assert told.reason.evidence["said"] == "exit code 7: no frame"
    found = device.command("health")
    assert found.returncode == 3, found.stdout
    assert "no frame" in found.stdout
    camera(False)
    device.wait_for(lambda: healthy(device), "the probe is well again")

    fleet.want(device.publish("3.0.0", nan_plan("3.0.0")), rollout="r3", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r3"), "3.0.0 committed without traffic")
    assert "camera" in str(verdict(fleet, "r3", "COMMITTED").reason.evidence["probes"])
    with asked_all_the_time(device, always(-1.0)):
        told = fell_back_under_load(device, fleet, "r3", "nan_outputs")
    assert told.reason.evidence["sustain_s"] == 1.0
    lasted = told.reason.evidence["failing_for_s"]
    assert isinstance(lasted, float)
    assert lasted >= 1.0
    device.wait_for(lambda: answers(device), "1.0.0 answers again")
    device.wait_for(lambda: healthy(device), "and all is well")
    assert fleet.phases("r3").count("FELL_BACK") == 1
    assert device.stop() == 0


@pytest.mark.soak
def test_other_ways_to_die_or_to_stand_still(device: Device, fleet: Fleet) -> None:
    with_health(device)
    good(device, fleet)
    rollout = on_trial(device, fleet, "2.0.0", None)
    os.kill(workers(device)[0], signal.SIGSEGV)
    told = fell_back(device, fleet, rollout, "worker_crashed")
    assert told.reason.evidence["signal"] == "SIGSEGV"

    rollout = on_trial(device, fleet, "3.0.0", None)
    os.kill(workers(device)[0], signal.SIGSTOP)  # as a deadlock: it lives, and does nothing
    fell_back(device, fleet, rollout, "worker_hung")

    rollout = on_trial(device, fleet, "4.0.0", endless_plan("4.0.0", slow=True))
    ask_in_vain(device)  # in a thread: the worker's loop turns on
    fell_back(device, fleet, rollout, "worker_hung")

    kept = {"int8": VariantPromise(latency_us=1, memory_bytes=1)}  # within the floors
    fleet.want(device.publish("5.0.0", promises=kept), rollout="r5", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r5"), "5.0.0 committed")
    assert device.stop() == 0


@pytest.mark.soak
def test_a_probe_that_fails_for_long_falls_back_after_the_commit(
    device: Device, fleet: Fleet, camera: Callable[[bool], str]
) -> None:
    with_health(device, camera(False))
    good(device, fleet)
    fleet.want(device.publish("2.0.0"), rollout="r2", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r2"), "2.0.0 committed")
    camera(True)
    told = fell_back(device, fleet, "r2", "probe_failed")
    assert told.reason.evidence["sustain_s"] == 1.0
    assert device.stop() == 0

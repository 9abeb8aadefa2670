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
from typing import Any

import pytest

from limosa_contracts.event import UpdateEvent
from limosa_contracts.promise import VariantPromise
from tests.agent.device import Device
from tests.agent.fleet import Fleet
from tests.agent.health.bad_models import MIB, hoard_plan, nan_plan
from tests.agent.serving.releases import endless_plan, slow_plan

HEALTH = f"""
[health]
hang_s = 1.5
run_max_s = 0.6
min_sample = 5
growth_bytes = {24 * MIB}
growth_steps = 3
growth_step_s = 0.4
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


def on_trial(device: Device, fleet: Fleet, version: str, plan: Any) -> str:
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


def test_one_bad_model_after_another_is_found_in_its_trial_and_fallen_back_from(
    device: Device, fleet: Fleet
) -> None:
    with_health(device)
    good(device, fleet)

    rollout = on_trial(device, fleet, "2.0.0", nan_plan("2.0.0"))
    with asked_all_the_time(device, always(-1.0)):
        told = fell_back_under_load(device, fleet, rollout, "nan_outputs")
    assert told.reason.evidence["max_error_ratio"] == 0.02

    rollout = on_trial(device, fleet, "3.0.0", endless_plan("3.0.0", slow=False))
    ask_in_vain(device)
    told = fell_back(device, fleet, rollout, "worker_hung")
    assert told.reason.evidence["hung"] is True

    rollout = on_trial(device, fleet, "4.0.0", None)
    os.kill(workers(device)[0], signal.SIGSEGV)
    told = fell_back(device, fleet, rollout, "worker_crashed")
    assert told.reason.evidence["signal"] == "SIGSEGV"

    rollout = on_trial(device, fleet, "5.0.0", None)
    os.kill(workers(device)[0], signal.SIGSTOP)  # as a deadlock: it lives, and does nothing
    fell_back(device, fleet, rollout, "worker_hung")

    rollout = on_trial(device, fleet, "6.0.0", hoard_plan("6.0.0"))
    with asked_all_the_time(device, rising(2.0)):
        told = fell_back_under_load(device, fleet, rollout, "memory_growth")
    grown = told.reason.evidence
    assert grown["to_bytes"] - grown["from_bytes"] >= grown["growth_max_bytes"] == 24 * MIB  # type: ignore[operator]  # numbers
    assert device.stop() == 0


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


def test_a_run_that_never_ends_in_a_thread_is_a_hang_too(device: Device, fleet: Fleet) -> None:
    with_health(device)
    good(device, fleet)
    rollout = on_trial(device, fleet, "3.0.0", endless_plan("3.0.0", slow=True))
    ask_in_vain(device)
    fell_back(device, fleet, rollout, "worker_hung")
    assert device.stop() == 0


def test_a_committed_version_that_goes_wrong_for_long_falls_back_once(device: Device, fleet: Fleet) -> None:
    with_health(device)
    good(device, fleet)
    fleet.want(device.publish("2.0.0", nan_plan("2.0.0")), rollout="r2", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r2"), "2.0.0 committed without traffic")
    with asked_all_the_time(device, always(-1.0)):
        told = fell_back_under_load(device, fleet, "r2", "nan_outputs")
    assert told.manifest_sha256
    assert told.reason.evidence["sustain_s"] == 1.0
    lasted = told.reason.evidence["failing_for_s"]
    assert isinstance(lasted, float)
    assert lasted >= 1.0
    device.wait_for(lambda: answers(device), "1.0.0 answers again")
    said = device.command("health", "--json")
    assert (said.returncode, json.loads(said.stdout)["models"][0]["serving"]) == (0, "1.0.0")
    assert fleet.phases("r2").count("FELL_BACK") == 1
    assert device.stop() == 0


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


def test_a_probe_of_the_operator_judges_the_trial_and_what_was_committed(
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
    device.wait_for(lambda: device.command("health").returncode == 0, "the probe is well again")

    fleet.want(device.publish("3.0.0"), rollout="r3", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r3"), "3.0.0 committed")
    assert "camera" in str(verdict(fleet, "r3", "COMMITTED").reason.evidence["probes"])
    camera(True)
    told = fell_back(device, fleet, "r3", "probe_failed")
    assert told.reason.evidence["sustain_s"] == 1.0
    assert device.stop() == 0


def test_a_release_that_costs_more_than_was_promised_is_rejected_before_it_serves(
    device: Device, fleet: Fleet
) -> None:
    with_health(device, "promise_tries = 2\n")
    good(device, fleet)
    slow = slow_plan("2.0.0", size=256, layers=2)
    limit = {"int8": VariantPromise(max_latency_us=1)}
    fleet.want(device.publish("2.0.0", slow, promises=limit), rollout="r2")
    device.wait_for(lambda: "REJECTED" in fleet.phases("r2"), "2.0.0 rejected")
    told = verdict(fleet, "r2", "REJECTED")
    assert (told.reason.code, told.reason.evidence["max_us"]) == ("too_slow", 1)

    small = {"int8": VariantPromise(max_memory_bytes=4096)}
    fleet.want(device.publish("3.0.0", promises=small), rollout="r3")
    device.wait_for(lambda: "REJECTED" in fleet.phases("r3"), "3.0.0 rejected")
    assert verdict(fleet, "r3", "REJECTED").reason.code == "too_large"

    kept = {"int8": VariantPromise(latency_us=1, memory_bytes=1)}  # within the floors
    fleet.want(device.publish("4.0.0", promises=kept), rollout="r4", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r4"), "4.0.0 committed")
    assert device.stop() == 0

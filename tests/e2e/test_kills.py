"""Server, broker and one agent are killed, one after the other, in the middle of a rollout."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest

from limosa_devices.demo.ledger import Event
from limosa_devices.demo.motion import load
from limosa_devices.demo.releases import NAME
from limosa_devices.demo.stream import LiveStream
from limosa_devices.demo.world import World
from tests.agent.serving.releases import motion_plan
from tests.e2e.motion_releases import publish
from tests.support.programs import require_program
from tests.support.stock_client import INFERENCES, ask_with_stock_client
from tests.support.waiting import wait_until

Committed: TypeAlias = tuple[dict[str, int], set[tuple[str, str, str, str]]]
"""The mark of each device's inbox, and every event."""
pytestmark = pytest.mark.xdist_group("world")
DEVICES = 5
ROLLOUT = """
release = "demo/motion@{version}"
group = "wrists"
[[waves]]
name = "first"
count = 2
bake = "2s"
[[waves]]
name = "rest"
percent = 100
bake = "1s"
[trial]
inferences = 20
seconds = 5
[telemetry]
report_every = "1s"
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    require_program("mosquitto")
    world = World(folder=tmp_path, devices_wanted=DEVICES, proxied=0)
    try:
        world.start_server()
        world.start_devices()
        yield world
    finally:
        world.stop()


def test_kill_9_of_server_broker_and_agent_loses_nothing_and_counts_nothing_twice(world: World) -> None:
    first = _roll_out(world, "1.0.0")
    assert world.await_rollout(first, ("COMPLETED", "FAILED"), timeout_s=90) == "COMPLETED"
    ask_with_stock_client(world.devices[0].port)
    streams = [
        LiveStream(device=device.name, port=device.port, motion=load("live"), seed=device.number, every_s=0.1)
        for device in world.devices
    ]
    for stream in streams:
        stream.start()
    try:
        second = _roll_out(world, "2.0.0")
        committed = _kill_one_after_the_other(world, second)
        assert world.await_rollout(second, ("COMPLETED", "FAILED"), timeout_s=120) == "COMPLETED"
    finally:
        for stream in streams:
            stream.stop()

    assert set(world.ledger.running(NAME).values()) == {"2.0.0"}
    kept = {(event.device, event.version, event.phase, event.rollout) for event in world.ledger.events()}
    for marks, events in committed:  # only what is committed is ever acknowledged
        assert events <= kept
        assert all(_mark(world, device) >= mark for device, mark in marks.items())
    for number in (first, second):
        assert _terminal_events(world, number) == {device.name: 1 for device in world.devices}
        assert set(world.ledger.executions(number).values()) == {"SUCCEEDED"}
        assert _counted(world, number) == DEVICES
    answered = {stream.device: sum(stream.answers.values()) for stream in streams}
    answered[world.devices[0].name] += INFERENCES
    killed = world.devices[-1].name
    wait_until(
        lambda: all(_inferences(world, d) == n for d, n in answered.items() if d != killed),
        timeout_s=20,
        what=lambda: f"telemetry of {answered}: { {d: _inferences(world, d) for d in answered} }",
    )
    assert 0 < _inferences(world, killed) <= answered[killed]


def _roll_out(world: World, version: str) -> int:
    publish(world, motion_plan(version))
    path = world.folder / f"rollout-{version}.toml"
    path.write_text(ROLLOUT.format(version=version), encoding="utf-8")
    return int(str(world.limosa("rollout", "start", str(path))["id"]))


def _kill_one_after_the_other(world: World, rollout: int) -> list[Committed]:
    """What the server had committed just before each kill."""
    committed: list[Committed] = []
    server = next(process for process in world.processes.started if process.name == "server")
    _await_execution(world, rollout, "SUCCEEDED", least=1)
    committed.append(_committed(world))
    server.kill()
    server = world.run_server()
    _await_execution(world, rollout, "SUCCEEDED", least=2)
    committed.append(_committed(world))
    os.kill(_broker_of(server.popen.pid), signal.SIGKILL)
    wait_until(
        lambda: (
            any(event.version == "2.0.0" for event in _events_of(world, world.devices[-1].name))
            or _state(world, rollout, world.devices[-1].name) == "SUCCEEDED"
        ),
        timeout_s=90,
        what="the last device being at it",
    )
    last = world.devices[-1]
    assert last.process is not None
    committed.append(_committed(world))
    last.process.kill()
    world.start_agent(last)
    world.await_agent(last)
    return committed


def _committed(world: World) -> Committed:
    events = {(event.device, event.version, event.phase, event.rollout) for event in world.ledger.events()}
    return {device.name: _mark(world, device.name) for device in world.devices}, events


def _await_execution(world: World, rollout: int, state: str, *, least: int) -> None:
    wait_until(
        lambda: list(world.ledger.executions(rollout).values()).count(state) >= least,
        timeout_s=90,
        what=lambda: f"{least} devices {state}: {world.ledger.executions(rollout)}",
    )


def _broker_of(server: int) -> int:
    children = Path(f"/proc/{server}/task/{server}/children").read_text(encoding="utf-8").split()
    tasks = Path(f"/proc/{server}/task").iterdir()
    for task in tasks:
        children += (task / "children").read_text(encoding="utf-8").split()
    for child in {int(child) for child in children}:
        if Path(f"/proc/{child}/comm").read_text(encoding="utf-8").strip() == "mosquitto":
            return child
    raise AssertionError(f"no mosquitto among the children of {server}")


def _events_of(world: World, device: str) -> list[Event]:
    return [event for event in world.ledger.events() if event.device == device]


def _state(world: World, rollout: int, device: str) -> str:
    return world.ledger.executions(rollout)[device]


def _query(database: Path, text: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as db:
        return db.execute(text, values).fetchall()


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value


def _mark(world: World, device: str) -> int:
    rows = _query(
        world.ledger.database, "SELECT coalesce(max(mark), 0) FROM inbox_marks WHERE device = ?", device
    )
    return _number(rows[0][0])


def _terminal_events(world: World, rollout: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    for event in world.ledger.events():
        if event.rollout == str(rollout) and event.phase in ("COMMITTED", "REJECTED", "FELL_BACK"):
            counts[event.device] = counts.get(event.device, 0) + 1
    return counts


def _counted(world: World, rollout: int) -> int:
    """What the waves' kept counters say has succeeded."""
    rows = _query(
        world.ledger.database,
        "SELECT sum(json_extract(counts, '$.SUCCEEDED')) FROM waves WHERE rollout = ?",
        rollout,
    )
    return _number(rows[0][0])


def _inferences(world: World, device: str) -> int:
    rows = _query(world.ledger.database, "SELECT coalesce(sum(n), 0) FROM windows WHERE device = ?", device)
    return _number(rows[0][0])

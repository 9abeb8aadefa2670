"""A shadow and a comparison with a real server, a real broker and real agents (rollouts 6)."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from limosa_devices.demo import motion
from limosa_devices.demo.world import BIN, DemoDevice, World
from tests.agent.serving.http_client import Client
from tests.agent.serving.releases import MOTION, motion_plan
from tests.e2e.motion_releases import publish
from tests.support.programs import require_program
from tests.support.waiting import wait_until

pytestmark = pytest.mark.xdist_group("world")
WINDOWS = motion.load("evaluation").window
ROWS = 30
REST = """
group = "wrists"
[trial]
inferences = 1000
seconds = 1
[telemetry]
report_every = "1s"
"""
REPLACE = 'release = "demo/motion@{version}"' + REST + '[[waves]]\nname = "all"\nbake = "1s"\n'
SHADOW = (
    'release = "demo/motion@{version}"\nmode = "shadow"'
    + REST
    + '[shadow]\nagreement = 0.9\nmin_rows = 110\n[[waves]]\nname = "all"\nbake = "1s"\n'
)
AB = (
    'release = "demo/motion@{version}"\nmode = "ab"'
    + REST
    + '[ab]\nduration = "3s"\n[[ab.kpis]]\nname = "clicked"\nworth = 0.1\n[[ab.kpis]]\nname = "accuracy"\n'
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    require_program("mosquitto")
    world = World(folder=tmp_path, devices_wanted=4, proxied=0)
    try:
        world.start_server()
        world.start_devices()
        for version in ("1.0.0", "1.1.0"):  # the same model: two of them always agree
            publish(world, motion_plan(version, asset="1.0.0"))
        _complete(world, _start(world, REPLACE, "1.0.0"))
        yield world
    finally:
        world.stop()


def test_release_is_tried_in_the_shadow_compared_by_feedback_and_promoted(world: World) -> None:
    _in_the_shadow(world)
    rollout = _compared(world)
    override = world.folder / "promote.toml"
    override.write_text('[[waves]]\nname = "all"\nbake = "1s"\n', encoding="utf-8")
    promoted = world.limosa("rollout", "promote", str(rollout), "--file", str(override))
    _complete(world, int(str(promoted["id"])))
    assert set(world.ledger.running(MOTION).values()) == {"1.1.0"}


def _in_the_shadow(world: World) -> None:
    rollout = _start(world, SHADOW, "1.1.0")
    wait_until(
        lambda: list(world.ledger.executions(rollout).values()) == ["SUCCEEDED"] * 4,
        timeout_s=60,
        what=lambda: f"the challengers: {world.ledger.executions(rollout)}",
    )
    for device in world.devices:
        assert _ask(device, "shadowed").version == "1.0.0"
    _complete(world, rollout)
    report = world.limosa("rollout", "report", str(rollout))
    rows = ROWS * len(world.devices)
    assert (report["advice"], report["rows"], report["disagreed"], report["devices"]) == (
        "passed",
        rows,
        0,
        4,
    )
    assert set(world.ledger.running(MOTION).values()) == {"1.0.0"}
    first = world.devices[0]
    wait_until(
        lambda: not _challenger(world, first), timeout_s=60, what="the challenger is taken away", every_s=1
    )


def _compared(world: World) -> int:
    rollout = _start(world, AB, "1.1.0")
    wait_until(
        lambda: _report(world, rollout)["held_since"],
        timeout_s=60,
        what=lambda: f"both are held: {world.ledger.running(MOTION)}",
        every_s=0.5,
    )
    assert sorted(world.ledger.running(MOTION).values()) == ["1.0.0", "1.0.0", "1.1.0", "1.1.0"]
    answered = {device.name: _ask(device, "r") for device in world.devices}
    first = world.devices[0]
    assert first.process is not None
    first.process.kill()  # what it predicted before is known after
    world.start_agent(first)
    world.await_agent(first)
    seen: dict[str, int] = {}  # version -> devices so far: those of one arm differ from each other
    for device in world.devices:
        version = answered[device.name].version
        seen[version] = seen.get(version, 0) + 1
        _give_feedback(device, answered[device.name], clicks=2 + seen[version])
    wait_until(
        lambda: _report(world, rollout)["reported"] == {"accuracy": 4 * ROWS, "clicked": 4 * ROWS},
        timeout_s=60,
        what=lambda: f"all feedback at the server: {_report(world, rollout)['reported']}",
        every_s=0.5,
    )
    assert world.await_rollout(rollout, ("PAUSED", "FAILED", "CANCELED"), timeout_s=60) == "PAUSED"
    report = _report(world, rollout)
    assert (report["final"], report["advice"], report["arms"]) == (True, "challenger", {"a": 2, "b": 2})
    clicked, accuracy = report["kpis"]
    assert clicked["effect"]["difference"] == pytest.approx(15 / ROWS)
    assert accuracy["effect"]["challenger"]["mean"] == 1.0
    assert report["sentence"] == "1.1.0 is better in clicked: roll it out"
    return rollout


def _start(world: World, template: str, version: str) -> int:
    path = world.folder / f"rollout-{version}.toml"
    path.write_text(template.replace("{version}", version), encoding="utf-8")
    return int(str(world.limosa("rollout", "start", str(path))["id"]))


def _complete(world: World, rollout: int) -> None:
    assert world.await_rollout(rollout, ("COMPLETED", "FAILED", "PAUSED"), timeout_s=90) == "COMPLETED"


def _report(world: World, rollout: int) -> dict[str, Any]:
    token = (world.data / "admin.token").read_text(encoding="utf-8").strip()
    answer = httpx.get(
        f"{world.url}/api/v1/rollouts/{rollout}/report",
        headers={"Authorization": f"Bearer {token}"},
        verify=ssl.create_default_context(cafile=str(world.ca)),
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def _challenger(world: World, device: DemoDevice) -> str:
    """The version that runs beside what this device answers with; "" for none."""
    words = [str(BIN / "limosa-agent"), "status", "--config", str(device.config), "--json"]
    status = json.loads(world.processes.run("status", words).splitlines()[-1])
    rows = [row for row in status["models"] if row["model"] == f"{MOTION} (shadow)"]
    return str(rows[0]["wanted"] or "") if rows and rows[0]["phase"] == "COMMITTED" else ""


@dataclass(frozen=True)
class Answered:
    """What a device answered to one request: the version, and a class for each row."""

    version: str
    classes: tuple[int, ...]


def _ask(device: DemoDevice, ident: str) -> Answered:
    tensor = {
        "name": motion.INPUT_NAME,
        "datatype": "FP32",
        "shape": [ROWS, 6, 100],
        "data": WINDOWS[:ROWS].ravel().tolist(),
    }
    with Client(device.port) as client:
        answer = client.infer(MOTION, {"id": ident, "inputs": [tensor]})
    assert answer.status == 200
    (output,) = answer.json["outputs"]
    best = np.array(output["data"]).reshape(output["shape"]).argmax(axis=1)
    return Answered(version=answer.json["model_version"], classes=tuple(best.tolist()))


def _give_feedback(device: DemoDevice, answered: Answered, *, clicks: int) -> None:
    """Every label is what was answered; with the new version half of the rows more are clicked."""
    more = ROWS // 2 if answered.version == "1.1.0" else 0
    pieces: list[dict[str, Any]] = []
    for row, label in enumerate(answered.classes):
        pieces.append({"id": "r", "row": row, "label": label})
        pieces.append({"id": "r", "row": row, "name": "clicked", "value": row < clicks + more})
    body = json.dumps({"feedback": pieces}).encode()
    with Client(device.port) as client:
        answer = client.ask("POST", f"/v2/models/{MOTION}/feedback", body)
    assert (answer.status, answer.json["matched"]) == (200, 2 * ROWS)

"""A shadow and a comparison with a real server, a real broker and real agents (rollouts 6)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limosa_compiler.artifact.archive_file import archive_name, write_archive
from limosa_compiler.artifact.package import VariantFiles, package_release
from limosa_contracts.json_value import JsonObject
from limosa_contracts.oci import Requirements
from limosa_devices.demo import motion
from limosa_devices.demo.world import BIN, DemoDevice, World
from tests.agent.serving.http_client import Client
from tests.agent.serving.releases import MOTION, install, motion_plan
from tests.support.programs import require_program
from tests.support.waiting import wait_until

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
    + '[shadow]\nagreement = 0.9\nmin_rows = 50\n[[waves]]\nname = "all"\nbake = "1s"\n'
)
AB = (
    'release = "demo/motion@{version}"\nmode = "ab"'
    + REST
    + '[ab]\nduration = "3s"\n[[ab.kpis]]\nname = "clicked"\nworth = 0.1\n[[ab.kpis]]\nname = "accuracy"\n'
)


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    require_program("mosquitto")
    world = World(folder=tmp_path, devices_wanted=request.param, proxied=0)
    try:
        world.start_server()
        world.start_devices()
        for version in ("1.0.0", "1.1.0"):
            _publish(world, version)
        _complete(world, _start(world, REPLACE, "1.0.0"))
        yield world
    finally:
        world.stop()


@pytest.mark.parametrize("world", [1], indirect=True)
def test_challenger_runs_in_the_shadow_agrees_is_taken_away_and_promoted(world: World) -> None:
    (device,) = world.devices
    rollout = _start(world, SHADOW, "1.1.0")
    wait_until(
        lambda: _in_the_shadow(world, device) == "1.1.0", timeout_s=60, what="the challenger runs beside"
    )
    for number in range(3):
        assert _ask(device, f"r{number}").version == "1.0.0"
    _complete(world, rollout)
    report = world.limosa("rollout", "report", str(rollout))
    assert (report["advice"], report["disagreed"], report["devices"]) == ("passed", 0, 1)
    assert int(str(report["rows"])) >= 50
    assert world.ledger.running(MOTION) == {device.name: "1.0.0"}
    wait_until(lambda: not _in_the_shadow(world, device), timeout_s=60, what="the challenger is taken away")
    override = world.folder / "promote.toml"
    override.write_text('[[waves]]\nname = "all"\nbake = "1s"\n', encoding="utf-8")
    promoted = world.limosa("rollout", "promote", str(rollout), "--file", str(override))
    _complete(world, int(str(promoted["id"])))
    assert _ask(device, "last").version == "1.1.0"


@pytest.mark.parametrize("world", [4], indirect=True)
def test_two_releases_are_compared_by_what_applications_report(world: World) -> None:
    rollout = _start(world, AB, "1.1.0")
    wait_until(
        lambda: sorted(world.ledger.running(MOTION).values()) == ["1.0.0", "1.0.0", "1.1.0", "1.1.0"],
        timeout_s=60,
        what=lambda: f"two devices in each arm: {world.ledger.running(MOTION)}",
    )
    wait_until(lambda: _report(world, rollout)["held_since"], timeout_s=60, what="both are held")
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
    )
    assert world.await_rollout(rollout, ("PAUSED", "FAILED", "CANCELED"), timeout_s=60) == "PAUSED"
    report = _report(world, rollout)
    assert (report["final"], report["advice"], report["arms"]) == (True, "challenger", {"a": 2, "b": 2})
    clicked, accuracy = report["kpis"]
    assert clicked["effect"]["difference"] == pytest.approx(15 / ROWS)
    assert accuracy["effect"]["challenger"]["mean"] == 1.0
    assert report["sentence"] == "1.1.0 is better in clicked: roll it out"


def _publish(world: World, version: str) -> None:
    """The demo's first model under this version: two of them always agree."""
    folder = Path(install(motion_plan(version, asset="1.0.0"), world.folder / "built").directory)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    packaged = package_release([VariantFiles(name="cpu", files=files, requirements=Requirements())])
    path = world.folder / archive_name(packaged.release)
    write_archive(path, packaged.blobs, packaged.index, name=str(packaged.release.name), version=version)
    world.limosa("publish", str(path), "--offline", str(world.offline_keys))


def _start(world: World, template: str, version: str) -> int:
    path = world.folder / f"rollout-{version}.toml"
    path.write_text(template.replace("{version}", version), encoding="utf-8")
    return int(str(world.limosa("rollout", "start", str(path))["id"]))


def _complete(world: World, rollout: int) -> None:
    assert world.await_rollout(rollout, ("COMPLETED", "FAILED", "PAUSED"), timeout_s=90) == "COMPLETED"


def _report(world: World, rollout: int) -> dict[str, Any]:
    said: JsonObject = world.limosa("rollout", "report", str(rollout))
    return dict(said)


def _in_the_shadow(world: World, device: DemoDevice) -> str:
    """The version that runs beside what this device answers with; "" for none."""
    words = [str(BIN / "limosa-agent"), "status", "--config", str(device.config), "--json"]
    status = json.loads(world.processes.run("status", words).splitlines()[-1])
    rows = [row for row in status["models"] if row["model"] == f"{MOTION} (shadow)"]
    return str(rows[0]["wanted"] or "") if rows and rows[0]["phase"] in ("COMMITTED", "REMOVED") else ""


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

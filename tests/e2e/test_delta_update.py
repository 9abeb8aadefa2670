"""A small change of a model moves a delta to the device, and a delta that rotted moves the model."""

from __future__ import annotations

import json
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from limosa_contracts.delta.wire import MEDIA_TYPE
from limosa_contracts.oci import digest_of
from limosa_devices.demo.world import World
from tests.agent.serving.releases import MOTION, slow_plan
from tests.e2e.motion_releases import publish
from tests.support.programs import require_program
from tests.support.waiting import wait_until

pytestmark = pytest.mark.xdist_group("world")
SIZE = 200
ROLLOUT = """
release = "demo/motion@{version}"
group = "wrists"
[[waves]]
name = "all"
percent = 100
bake = "1s"
[trial]
inferences = 1000
seconds = 1
[telemetry]
report_every = "1s"
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    require_program("mosquitto")
    world = World(folder=tmp_path, devices_wanted=1, proxied=0)
    try:
        world.start_server()
        world.start_devices()
        yield world
    finally:
        world.stop()


def test_update_moves_the_delta_and_a_rotten_one_moves_the_blob(world: World) -> None:
    _roll_out(world, _publish(world, "1.0.0"))
    assert _transfer(world, "1.0.0")["way"] == "full"

    second = _publish(world, "1.0.1")
    _roll_out(world, second)
    told = _transfer(world, "1.0.1")
    assert told["way"] == "delta"
    size = len(_model("1.0.1"))
    assert 0 < told["bytes"] < 0.2 * size
    assert told["saved_bytes"] > 0.8 * size
    assert _metric(world, "limosa_delta_bytes_saved_total") == told["saved_bytes"]

    third = _publish(world, "1.0.2")
    _make_and_spoil_delta(world, second, third)
    _roll_out(world, third)
    told = _transfer(world, "1.0.2")
    assert (told["way"], told["fallbacks"]) == ("full", {"damaged": 1})
    assert told["bytes"] > size


def _model(version: str) -> bytes:
    """One layer of random weights, of which a version changes one row in fifty."""
    model = onnx.load_from_string(slow_plan(size=SIZE, layers=1).onnx_bytes)
    rng = np.random.default_rng(1)
    weights = rng.normal(0, 0.001, (SIZE, SIZE)).astype(np.float32)
    for patch in range(1, int(version.rsplit(".", 1)[1]) + 1):
        weights[patch::50] += np.random.default_rng(patch).normal(0, 1e-5, SIZE).astype(np.float32)
    for tensor in model.graph.initializer:
        if tensor.name == "v":
            tensor.CopyFrom(numpy_helper.from_array(weights, "v"))
    return bytes(model.SerializeToString())


def _publish(world: World, version: str) -> str:
    """The version, with the digest of its model: `1.0.0 sha256:…`."""
    plan = replace(slow_plan(size=SIZE, layers=1), version=version, model=MOTION, onnx_bytes=_model(version))
    publish(world, plan)
    return f"{version} {digest_of(plan.onnx_bytes)}"


def _roll_out(world: World, published: str) -> None:
    version = published.split()[0]
    path = world.folder / f"rollout-{version}.toml"
    path.write_text(ROLLOUT.format(version=version), encoding="utf-8")
    number = int(str(world.limosa("rollout", "start", str(path))["id"]))
    assert world.await_rollout(number, ("COMPLETED", "FAILED"), timeout_s=90) == "COMPLETED"
    assert set(world.ledger.running(MOTION).values()) == {version}


def _transfer(world: World, version: str) -> dict[str, Any]:
    """What the device's event of the staged release says about how it came."""
    with closing(sqlite3.connect(f"file:{world.ledger.database}?mode=ro", uri=True, timeout=10)) as db:
        query = "SELECT body FROM events WHERE version = ? AND phase = 'STAGED'"
        ((body,),) = db.execute(query, (version,)).fetchall()
    told = json.loads(body)["reason"]["evidence"]["transfer"]
    assert isinstance(told, dict)
    return told


def _client(world: World) -> httpx.Client:
    token = (world.data / "admin.token").read_text(encoding="utf-8").strip()
    context = ssl.create_default_context(cafile=str(world.ca))
    return httpx.Client(base_url=world.url, verify=context, headers={"Authorization": f"Bearer {token}"})


def _make_and_spoil_delta(world: World, base: str, new: str) -> None:
    with _client(world) as client:
        url = f"/v2/{MOTION}/blobs/{new.split()[1]}"

        def made() -> httpx.Response | None:  # 503 with Retry-After: it is still being made
            answer = client.get(url, params={"from": base.split()[1]}, timeout=60)
            return None if answer.status_code == 503 else answer

        answer = wait_until(made, timeout_s=60, what="the delta is made", every_s=0.5)
        assert answer is not None
        assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA_TYPE)
    (path,) = (world.data / "deltas").glob(f"*-{new.split(':')[1]}-*.limosadelta")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(bytes(data))


def _metric(world: World, name: str) -> float:
    with _client(world) as client:
        lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(name)).split()[1])

"""Applications that run the model themselves, beside a real agent: counted, and on trial (agent 1)."""

from __future__ import annotations

import json
import socket
import sys
from collections import defaultdict

from limosa_contracts.topics import Suffix
from limosa_contracts.window import Window
from tests.agent.device import MODEL, Device
from tests.agent.fleet import Fleet
from tests.agent.health.bad_models import nan_plan
from tests.support.processes import Started

APPLICATION = f"""
import sys, time
from pathlib import Path
import numpy as np
from limosa_agent import Model

state, value, wanted, end = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
model = Model("{MODEL}", state_dir=state)
row = {{"x": np.full((1, 3), value, np.float32)}}
done = 0
while not end.exists():
    if done < wanted:
        model.predict(row)
        done += 1
        if done == wanted:
            print("done", flush=True)
    time.sleep(0.005)
"""


def application(device: Device, *, value: float = 1.0, runs: int, end: str = "end") -> Started:
    """Predicts so often, then waits for the file `end`, and exits as a program does."""
    command = [sys.executable, "-c", APPLICATION, str(device.state), str(value), str(runs)]
    return device.processes.start([*command, str(device.folder / end)], name="application")


def counted(fleet: Fleet) -> dict[str, tuple[int, int]]:
    """version -> (n, requests) of all windows, each at its last rev."""
    with fleet.lock:
        rows = [Window.parse(m.payload) for m in fleet.store.rows if m.suffix is Suffix.WINDOW]
    last: dict[object, Window] = {}
    for window in rows:
        if window.key not in last or last[window.key].rev < window.rev:
            last[window.key] = window
    total: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for window in last.values():
        n, requests = total[window.version]
        assert sum(window.sketch.latency) == window.counters["requests"]
        total[window.version] = (n + window.n, requests + window.counters["requests"])
    return dict(total)


def served(device: Device, fleet: Fleet) -> None:
    device.start()
    fleet.want(device.publish("1.0.0"), rollout="r1", seconds=0.3)
    device.wait_for(lambda: fleet.serves("1.0.0") and "COMMITTED" in fleet.phases("r1"), "1.0.0 committed")


def hostile(device: Device) -> None:
    """What nobody should send; some of it is of the release that serves."""
    sha = (device.state / "models" / MODEL / "current").resolve().name
    forged = {"model": MODEL, "manifest_sha256": sha, "instance": "1-" + "0" * 16, "sequence": 0}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(5)
        sender.connect(str(device.state / "observations.sock"))
        for data in (
            b"",
            b"\xff" * 100_000,
            b"[" * 60_000,
            json.dumps({**forged, "snapshot": {"n": -5}}).encode(),
            json.dumps({**forged, "snapshot": {"n": 10**9, "bins": [[1]], "errors": {}}}).encode(),
            json.dumps({**forged, "manifest_sha256": "f" * 64, "snapshot": {}}).encode(),
            json.dumps({**forged, "model": "../..", "snapshot": {}}).encode(),
        ):
            sender.send(data)


def test_applications_and_the_worker_are_counted_together_exactly_once(device: Device, fleet: Fleet) -> None:
    served(device, fleet)
    running = [application(device, runs=runs) for runs in (40, 25)]
    for _ in range(10):
        device.ask(1.0)
    hostile(device)
    for one in running:
        one.wait_for_log("done")
    assert device.stop() == 0  # an update of the agent: applications go on without one
    device.start()
    hostile(device)
    (device.folder / "end").touch()
    for one in running:
        assert one.wait() == 0, one.log()
        assert one.log() == "done\n"  # and say nothing about it
    device.wait_for(lambda: counted(fleet).get("1.0.0", (0, 0))[0] >= 75, "all are counted")
    assert device.stop() == 0
    assert counted(fleet)["1.0.0"] == (75, 75)


def test_candidate_that_only_an_application_runs_falls_back_for_its_nan(device: Device, fleet: Fleet) -> None:
    served(device, fleet)
    running = application(device, value=-1.0, runs=10**6)
    fleet.want(device.publish("2.0.0", nan_plan("2.0.0")), rollout="r2", seconds=60)
    device.wait_for(lambda: "FELL_BACK" in fleet.phases("r2"), "2.0.0 falls back")
    told = next(e for e in fleet.events() if e.rollout == "r2" and e.phase.value == "FELL_BACK")
    assert told.reason.code == "nan_outputs", told.reason
    assert told.reason.evidence["nan_outputs"] == told.reason.evidence["n"] != 0
    assert device.ask(2.0) == 2.0  # 1.0.0 again
    (device.folder / "end").touch()
    assert running.wait() == 0, running.log()
    assert device.stop() == 0


def test_application_passes_the_trial_of_a_good_candidate(device: Device, fleet: Fleet) -> None:
    served(device, fleet)
    running = application(device, runs=10**6)
    fleet.want(device.publish("2.0.0"), rollout="r2", seconds=0.5)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r2"), "2.0.0 committed")
    told = next(e for e in fleet.events() if e.rollout == "r2" and e.phase.value == "COMMITTED")
    assert told.reason.message == "the trial was passed on live traffic"
    (device.folder / "end").touch()
    assert running.wait() == 0, running.log()
    assert device.stop() == 0

"""The whole agent as processes: updates, bad releases, lost power, lost links (agent 1-4, 6)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import numpy as np
import pytest

from limosa_contracts.phases import Phase
from tests.agent.device import Device, files_of
from tests.agent.fleet import Fleet
from tests.agent.serving.releases import crash_plan, tiny_plan


def test_first_release_arrives_and_the_next_replaces_it(device: Device, fleet: Fleet) -> None:
    device.start()
    fleet.want(device.publish("1.0.0"), rollout="r1")
    device.wait_for(lambda: fleet.serves("1.0.0") and "COMMITTED" in fleet.phases("r1"), "1.0.0 committed")
    assert device.ask(2.0) == 2.0
    fleet.want(device.publish("2.0.0"), rollout="r2")
    device.wait_for(lambda: "PROBATION" in fleet.phases("r2"), "2.0.0 on trial")
    for _ in range(30):
        assert device.ask(2.0) == 4.0
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r2"), "2.0.0 committed")
    way = "RESOLVING DOWNLOADING VERIFYING STAGED SELF_TESTING ACTIVATING PROBATION COMMITTED"
    assert fleet.phases("r2") == way.split()
    committed = fleet.events()[-1]
    assert committed.phase is Phase.COMMITTED
    assert json.loads(device.command("slots", "--json").stdout)["models"][0]["previous"]["version"] == "1.0.0"
    request = device.folder / "request.json"
    request.write_text(json.dumps({"inputs": {"x": [[3.0, 3.0, 3.0]]}}))
    inferred = json.loads(device.command("infer", str(request), "--json").stdout)
    assert inferred["results"][0]["outputs"][0]["data"] == [6.0, 6.0, 6.0]
    np.save(device.folder / "x.npy", np.ones((2, 3), np.float32))
    assert "2×3" in device.command("infer", str(device.folder / "x.npy")).stdout
    refused = device.command("infer", str(device.config))
    assert (refused.returncode, "LM-517" in refused.stderr) == (2, True)
    found = json.loads(device.command("doctor", "--json").stdout)
    assert {f["name"] for f in found["findings"] if not f["ok"]} == {"broker", "agent"}  # no broker
    assert device.stop() == 0


def committed(device: Device, fleet: Fleet, version: str = "1.0.0") -> None:
    device.start()
    fleet.want(device.publish(version), rollout="r1", seconds=0.3)
    device.wait_for(
        lambda: fleet.serves(version) and "COMMITTED" in fleet.phases("r1"), f"{version} committed"
    )


def test_release_that_crashes_on_live_input_is_put_back_by_the_device_alone(
    device: Device, fleet: Fleet
) -> None:
    committed(device, fleet)
    fleet.want(device.publish("3.0.0", crash_plan("3.0.0")), rollout="r3", seconds=30)
    device.wait_for(lambda: "PROBATION" in fleet.phases("r3"), "3.0.0 on trial")
    fleet.down = True  # agent 4.4: falling back needs nobody
    with suppress(OSError, HTTPException):
        device.ask(-1.0)  # the input that divides the smallest integer by -1
    device.wait_for(lambda: _answers(device, 1.0), "1.0.0 answers again")
    fleet.down = False
    device.wait_for(lambda: "FELL_BACK" in fleet.phases("r3"), "the fall-back is reported")
    verdict = next(e for e in fleet.events() if e.rollout == "r3" and e.phase is Phase.FELL_BACK)
    assert verdict.reason.code == "worker_crashed"
    device.wait_for(lambda: fleet.serves("1.0.0"), "1.0.0 is reported")
    state = json.loads(device.command("slots", "--json").stdout)["models"][0]
    assert [bad["manifest_sha256"] for bad in state["quarantine"]] == [verdict.manifest_sha256]
    assert device.stop() == 0


def test_every_crash_of_a_committed_version_is_told_and_the_third_falls_back(
    device: Device, fleet: Fleet
) -> None:
    committed(device, fleet)
    fleet.want(device.publish("3.0.0", crash_plan("3.0.0")), rollout="r3", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r3"), "3.0.0 committed without traffic")
    for _ in range(3):
        device.wait_for(lambda: _answers(device, 1.0) or _answers(device, -(2.0**31)), "it answers")
        with suppress(OSError, HTTPException):
            device.ask(-1.0)
    device.wait_for(lambda: "FELL_BACK" in fleet.phases("r3"), "3.0.0 given up")
    crashes = [e for e in fleet.events() if e.kind == "alarm" and e.reason.code == "worker_crashed"]
    assert len(crashes) == 3
    assert {e.version for e in crashes} == {"3.0.0"}
    device.wait_for(lambda: _answers(device, 1.0), "1.0.0 answers again")
    assert device.stop() == 0


def test_release_with_wrong_golden_vectors_is_rejected_without_a_switch(device: Device, fleet: Fleet) -> None:
    committed(device, fleet)

    def spoil(files: dict[str, bytes]) -> None:
        right = device.folder / "built" / "golden"
        other = device_files(right, factor=5.0)
        files["model.onnx"] = other["model.onnx"]  # computes something else than its golden vectors say

    fleet.want(device.publish("3.0.1", spoil=spoil), rollout="r3")
    device.wait_for(lambda: "REJECTED" in fleet.phases("r3"), "3.0.1 rejected")
    assert "ACTIVATING" not in fleet.phases("r3")
    rejected = next(e for e in fleet.events() if e.rollout == "r3" and e.phase is Phase.REJECTED)
    assert rejected.reason.code == "golden_mismatch"
    assert device.ask(1.0) == 1.0
    fleet.want(device.publish("3.0.2", spoil=spoil), rollout="r4")
    device.wait_for(lambda: "REJECTED" in fleet.phases("r4"), "3.0.2 rejected")
    assert device.stop() == 0


def test_power_lost_in_probation_tries_again_and_commits(device: Device, fleet: Fleet) -> None:
    committed(device, fleet)
    fleet.want(device.publish("2.0.0"), rollout="r2", seconds=2.0)
    device.wait_for(lambda: "PROBATION" in fleet.phases("r2"), "2.0.0 on trial")
    workers = json.loads(device.command("status", "--json").stdout)["workers"]
    device.kill()
    device.wait_for(lambda: not any(_alive(pid) for pid in workers), "workers die with their supervisor")
    device.start()
    assert device.ask(1.0) in (1.0, 2.0)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r2") and fleet.serves("2.0.0"), "2.0.0 committed")
    assert fleet.phases("r2").count("COMMITTED") == 1
    assert device.ask(1.0) == 2.0
    assert device.stop() == 0


def test_power_lost_at_every_try_falls_back(device: Device, fleet: Fleet) -> None:
    committed(device, fleet)
    fleet.want(device.publish("2.0.0"), rollout="r2", seconds=60)
    device.wait_for(lambda: "PROBATION" in fleet.phases("r2"), "2.0.0 on trial")
    for _ in range(3):
        device.kill()
        device.start()
    device.wait_for(lambda: "FELL_BACK" in fleet.phases("r2"), "2.0.0 given up")
    assert device.ask(1.0) == 1.0
    assert device.stop() == 0


def test_journal_that_cannot_be_read_boots_the_last_good_version(device: Device, fleet: Fleet) -> None:
    committed(device, fleet)
    device.kill()
    for path in device.state.glob("state.db*"):
        path.write_bytes(b"not a database" * 512)
    fleet.down = True
    device.start()
    assert device.ask(1.0) == 1.0
    fleet.down = False
    device.wait_for(
        lambda: any(e.reason.code == "journal_corrupt" for e in fleet.events()), "the alarm is told"
    )
    assert list(device.state.glob("state.db.corrupt-*"))
    assert device.stop() == 0


def test_release_damaged_on_disk_is_not_served_but_fetched_again(device: Device, fleet: Fleet) -> None:
    committed(device, fleet)
    assert device.stop() == 0
    (model,) = device.state.glob("models/demo/motion/releases/*/model.onnx")
    data = bytearray(model.read_bytes())
    model.unlink()  # the blob shares its bytes by a hard link
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    fleet.down = True
    device.start()
    status = json.loads(device.command("status", "--json").stdout)
    assert status["models"][0]["serving"] is None, "safe mode: no model, but it lives and reports"
    fleet.down = False
    device.wait_for(lambda: _answers(device, 1.0), "1.0.0 is fetched again")
    assert device.stop() == 0


def test_link_cut_for_a_while_loses_and_doubles_nothing(device: Device, fleet: Fleet) -> None:
    committed(device, fleet)
    fleet.want(device.publish("2.0.0"), rollout="r2")
    device.wait_for(lambda: "PROBATION" in fleet.phases("r2"), "2.0.0 on trial")
    fleet.down = True
    for _ in range(25):
        assert device.ask(1.0) == 2.0
    device.wait_for(
        lambda: json.loads(device.command("slots", "--json").stdout)["models"][0]["phase"] == "COMMITTED",
        "committed without a server",
    )
    fleet.lose_answers = 2
    fleet.down = False
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r2") and fleet.serves("2.0.0"), "it is told")
    phases = fleet.phases("r2")
    assert len(phases) == len(set(phases))
    seqs = [message.seq for message in fleet.store.rows]
    assert seqs == sorted(set(seqs))
    assert device.stop() == 0


def test_documents_that_may_not_be_obeyed_are_refused_and_told(device: Device, fleet: Fleet) -> None:
    committed(device, fleet)
    old = fleet.desired
    two = device.publish("2.0.0")
    fleet.want_models(device="dev-other")
    device.wait_for(lambda: _told(fleet, "LM-509"), "a foreign document")
    fleet.want(two, rollout="r2", seconds=0.3)
    device.wait_for(lambda: fleet.serves("2.0.0"), "2.0.0")
    fleet.desired, fleet.counter = old, fleet.counter + 1
    device.wait_for(lambda: _told(fleet, "LM-510"), "a replayed document")
    fleet.want_models(life_s=-5)
    device.wait_for(lambda: _told(fleet, "LM-512"), "an expired document")
    fleet.desired, fleet.counter = b"{}", fleet.counter + 1
    device.wait_for(lambda: _told(fleet, "LM-508"), "no document at all")
    assert device.ask(1.0) == 2.0
    assert device.stop() == 0


def test_supervisor_stays_small(
    device: Device, fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "import sys, limosa_agent.process; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"numpy", "tuf", "click", "onnxruntime", "httpx", "securesystemslib"} & set(
        loaded.stdout.split()
    )
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "compiled"))  # as where it is installed
    committed(device, fleet)
    assert device.stop() == 0
    device.start()
    status = json.loads(device.command("status", "--json").stdout)
    assert status["models"][0]["serving"] == "1.0.0"
    assert status["rss_bytes"] <= 40 * 1024 * 1024, status["rss_bytes"]
    assert device.stop() == 0


def test_second_agent_on_the_same_state_is_refused(device: Device, fleet: Fleet) -> None:
    device.start()
    second = device.command("run")
    assert second.returncode == 2
    assert "LM-518" in second.stderr
    assert device.stop() == 0


def device_files(folder: Path, *, factor: float) -> dict[str, bytes]:
    return files_of(tiny_plan("9.9.9", factor=factor), folder)


def _answers(device: Device, expected: float) -> bool:
    try:
        return bool(np.float32(device.ask(1.0)) == np.float32(expected))  # FP32 is written as its shortest
    except (OSError, HTTPException, AssertionError):
        return False


def _told(fleet: Fleet, code: str) -> bool:
    return any(e.kind == "alarm" and e.reason.code == code for e in fleet.events())


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True

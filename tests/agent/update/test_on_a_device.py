"""The update machine with everything under it: a real agent, a real server, what an operator does."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path

from limosa_agent.store.journal import Journal
from limosa_agent.store.state_db import StateDb
from limosa_contracts.desired import DesiredModel, Trial
from limosa_contracts.phases import Phase
from limosa_contracts.topics import Suffix
from limosa_contracts.window import Window
from tests.agent.device import MODEL, Device
from tests.agent.fetch.world import Published
from tests.agent.fleet import Fleet

TRIAL = Trial(inferences=20, seconds=0.3)
NEVER = {"open": [{"cron": "0 0 29 2 *", "duration_s": 60, "tz": "UTC"}], "download_outside": False}
ALWAYS = {"open": [{"cron": "* * * * *", "duration_s": 60, "tz": "device"}], "download_outside": False}


def entry(release: Published, rollout: str, **more: object) -> DesiredModel:
    return DesiredModel(
        model=MODEL,
        version=release.name.version,
        index_sha256=release.index_sha256,
        rollout=rollout,
        trial=TRIAL,
        **more,  # type: ignore[arg-type]  # fields of the document, by name
    )


def committed(device: Device, fleet: Fleet) -> Published:
    first = device.publish("1.0.0")
    fleet.want_models(entry(first, "r1"))
    device.start()
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r1"), "1.0.0 committed")
    return first


def limit(device: Device, **limits: int) -> None:
    device.write_config()
    with device.config.open("a") as file:
        file.write("[limits]\n" + "".join(f"{name} = {value}\n" for name, value in limits.items()))


def phase_of(device: Device) -> tuple[str, str]:
    said = json.loads(device.command("status", "--json").stdout)
    (row,) = [row for row in said["models"] if row["model"] == MODEL]
    return row["phase"], row["reason"]


def test_update_waits_for_its_window_then_for_the_operator_and_goes_back_when_told(
    device: Device, fleet: Fleet
) -> None:
    committed(device, fleet)
    second = device.publish("2.0.0")
    fleet.want_models(entry(second, "r2", window=NEVER))
    device.wait_for(lambda: "WAITING_FOR_WINDOW" in fleet.phases("r2"), "waits for a leap day")
    assert "DOWNLOADING" not in fleet.phases("r2")
    assert phase_of(device) == ("WAITING_FOR_WINDOW", "outside_window")

    held = device.command("hold", "--for", "2h", "--reason", "surgery")
    assert held.returncode == 0, held.stderr
    assert "all models held until" in held.stdout
    fleet.want_models(entry(second, "r2", window=ALWAYS))  # the same attempt, another window
    device.wait_for(lambda: "STAGED" in fleet.phases("r2"), "downloaded inside its window")
    device.wait_for(lambda: phase_of(device) == ("WAITING_FOR_WINDOW", "hold"), "held by the operator")
    device.kill()
    device.start()
    device.wait_for(lambda: phase_of(device) == ("WAITING_FOR_WINDOW", "hold"), "held after a power cut too")
    assert device.ask() == 1.0
    last = fleet.reported()
    assert last is not None
    assert last.extra["held"] == ["hold:*"]

    lock = os.open(device.state / "hold.d" / "robot", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    released = device.command("release")
    assert "held by an application: robot" in released.stdout, released.stdout + released.stderr
    device.wait_for(lambda: phase_of(device) == ("WAITING_FOR_WINDOW", "update_lock"), "the robot is busy")
    os.close(lock)  # as when its process ends
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r2"), "2.0.0 committed")
    assert device.ask() == 2.0

    gone_back = device.command("rollback", MODEL, "--reason", "blind in the rain")
    assert gone_back.returncode == 0, gone_back.stderr
    assert device.ask() == 1.0
    device.wait_for(lambda: "FELL_BACK" in fleet.phases("r2"), "told")
    (event,) = [e for e in fleet.events() if e.phase is Phase.FELL_BACK]
    assert (event.reason.code, event.reason.message, event.version) == (
        "operator", "blind in the rain", "2.0.0",
    )  # fmt: skip
    again = device.command("rollback", MODEL)
    assert (again.returncode, "LM-521" in again.stderr) == (2, True)
    assert "LM-520" in device.command("rollback", "demo/other").stderr
    assert device.stop() == 0


def test_model_that_shall_be_absent_leaves_nothing_and_its_floor_stays(device: Device, fleet: Fleet) -> None:
    first = committed(device, fleet)
    second = device.publish("2.0.0")
    fleet.want_models(entry(second, "r2"))
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r2"), "2.0.0 committed")
    folder = device.state / "models" / MODEL
    assert (folder / "current").is_symlink()
    fleet.want_models(entry(second, "r3", mode="absent"))
    device.wait_for(lambda: "REMOVED" in fleet.phases("r3"), "removed")
    assert fleet.phases("r3") == ["REMOVING", "REMOVED"]
    assert not (folder / "current").is_symlink()
    assert list((folder / "releases").iterdir()) == []
    assert list((device.state / "blobs/sha256").iterdir()) == []

    fleet.want_models(entry(first, "r4"))
    device.wait_for(lambda: "REJECTED" in fleet.phases("r4"), "no way around the release counter")
    fleet.want_models(entry(second, "r5"))
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r5"), "the same one may come again")
    assert device.ask() == 2.0
    assert device.stop() == 0


def test_challenger_runs_beside_and_its_end_touches_nobody(device: Device, fleet: Fleet) -> None:
    first = committed(device, fleet)
    second = device.publish("2.0.0")
    fleet.want_models(entry(first, "r1"), entry(second, "s1", mode="shadow"))
    device.wait_for(lambda: "COMMITTED" in fleet.phases("s1"), "the challenger runs")
    assert device.ask() == 1.0
    (event,) = [e for e in fleet.events() if e.rollout == "s1" and e.phase is Phase.COMMITTED]
    assert event.extra == {"lane": "shadow"}
    releases = device.state / "models" / MODEL / "releases"
    assert len(list(releases.iterdir())) == 2
    device.wait_for(lambda: _shadow(fleet) == "COMMITTED", "it is reported")

    device.kill()
    device.start()
    assert device.ask() == 1.0
    device.wait_for(lambda: "demo/motion (shadow)" in device.command("status").stdout, "it is known still")
    os.kill(_shadow_worker(device), 9)
    device.wait_for(lambda: "FELL_BACK" in fleet.phases("s1"), "the crash is of its lane only")
    assert device.ask() == 1.0
    assert "FELL_BACK" not in fleet.phases("r1")
    fleet.want_models(entry(first, "r1"))
    device.wait_for(lambda: _shadow(fleet) == "REMOVED", "a challenger that nobody names is taken away")
    assert len(list(releases.iterdir())) == 1
    assert device.stop() == 0


def test_challenger_that_has_passed_is_gone_and_what_it_becomes_counts_its_answers_once(
    device: Device, fleet: Fleet
) -> None:
    """Its release was rolled out, and its windows held everything anew each second."""
    first = committed(device, fleet)
    second = device.publish("2.0.0")
    fleet.want_models(entry(first, "r1"), entry(second, "s1", mode="shadow"))
    device.wait_for(lambda: "COMMITTED" in fleet.phases("s1"), "the challenger runs")
    assert len(_shadow_workers(device)) == 1
    fleet.want_models(entry(first, "r1"))
    device.wait_for(lambda: _shadow(fleet) == "REMOVED", "its rollout has ended")
    device.wait_for(lambda: not _shadow_workers(device), "nothing of it runs any more")

    fleet.want_models(entry(first, "r1"), entry(second, "s2", mode="shadow"))
    device.wait_for(lambda: "COMMITTED" in fleet.phases("s2"), "it is tried once more")
    fleet.want_models(entry(second, "r2"), entry(second, "s2", mode="shadow"))
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r2"), "and rolled out meanwhile")
    replayed = sum(one.n for one in _windows(fleet, "2.0.0"))
    for _ in range(30):
        assert device.ask() == 2.0
        time.sleep(0.1)  # over several snapshots of both workers
    assert device.stop() == 0
    assert sum(one.n for one in _windows(fleet, "2.0.0")) - replayed <= 30


def _shadow(fleet: Fleet) -> str:
    last = fleet.reported()
    found = last.models[0].extra.get("shadow") if last else None
    return str(found["phase"]) if isinstance(found, dict) else ""


def _windows(fleet: Fleet, version: str) -> list[Window]:
    """The last rev of each window of what was served, in the order of their beginnings."""
    with fleet.lock:
        said = [Window.parse(m.payload) for m in fleet.store.rows if m.suffix is Suffix.WINDOW]
    last = {(one.boot, one.index): one for one in said if one.version == version and not one.of_challenger}
    return list(last.values())


def _shadow_workers(device: Device) -> list[int]:
    """The processes of this agent that run challengers."""
    assert device.process is not None
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes()
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if b"shadow_worker" in words and parent == device.ready["pid"]:
            found.append(int(entry.name))
    return found


def _shadow_worker(device: Device) -> int:
    device.wait_for(lambda: bool(_shadow_workers(device)), "the challenger has a process")
    return _shadow_workers(device)[0]


def test_budgets_and_what_a_refusal_was_about(device: Device, fleet: Fleet) -> None:
    limit(device, disk_max_bytes=3000, download_bytes_per_day=1_000_000)
    first = device.publish("1.0.0")
    fleet.want_models(entry(first, "r1"))
    device.start()
    device.wait_for(lambda: "REJECTED" in fleet.phases("r1"), "too large for the disk budget")
    (event,) = [e for e in fleet.events() if e.phase is Phase.REJECTED]
    assert event.reason.code == "disk_full"
    needed = event.reason.evidence["needed_bytes"]
    assert isinstance(needed, int)
    assert needed > 3000
    assert device.stop() == 0
    limit(device, disk_max_bytes=30_000_000, download_bytes_per_day=1_000_000)
    device.start()  # nothing is desired anew: what the refusal was about has changed
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r1"), "tried again by itself")
    assert device.ask() == 1.0
    assert device.stop() == 0
    db = StateDb.open(device.state)
    assert Journal(db).load()[MODEL].phase is Phase.COMMITTED
    assert json.loads(db.meta("download_budget") or "{}")["left"] < 1_000_000
    db.close()

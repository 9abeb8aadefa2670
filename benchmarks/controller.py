"""The controller over a large fleet: time of a tick, of a plan, of pages and answers (server 7).

    python benchmarks/controller.py [--json] [--quick] [--postgresql]

One real database per size, with so many devices enrolled and in one rollout; in each round 1,000 of them
report progress, as the ingest writes it, and the controller ticks. Pages and answers come over a loopback
socket from the whole application. Medians. `--quick`: 10,000 devices instead of 100,000.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

from sqlalchemy import insert
from sqlmodel import col, select

from benchmarks.bars import Bar, finish, print_table
from limosa_contracts.phases import Execution, Phase
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.access.roles import Role
from limosa_server.assembly import make_controller, make_director
from limosa_server.core.execution import on_phase
from limosa_server.rollouts import executions, rollout_plan, rollout_start
from limosa_server.rollouts.rollout_rows import execution_of
from limosa_server.tables.devices import Device, DeviceLabel, DeviceModel
from limosa_server.tables.groups import Group, Membership
from limosa_server.tables.releases import Release, Variant
from limosa_server.tables.rollouts import DesiredDocument, ExecutionRow
from tests.fleet_server.world import Fleet, running_fleet
from tests.support.postgresql import running_cluster

MODEL: Final = "demo/motion"
CHANGED: Final = 1000
SMALL: Final = 1000
ROUNDS: Final = 7
REQUESTS: Final = 9
BATCH: Final = 5000
DOCUMENT_BYTES: Final = 1500
TICK_RATIO: Final = 2.0  # bars of server 7
PLAN_S: Final = 5.0
ANSWER_S: Final = 0.2
PROFILES: Final = ("rpi4", "rpi5", "jetson-orin", "generic-x86-64")
SITES: Final = 40
SPEC: Final = {
    "release": f"{MODEL}@2.0.0",
    "group": "all",
    "waves": [{"name": "all", "bake": "1h"}],
    "control": {"percent": 0},
    "rate": {"maximum_per_minute": 1_000_000, "max_in_progress": CHANGED},
}
PLANNED: Final = {"release": f"{MODEL}@2.0.0", "group": "all"}
"""As most people write it: three waves, each with controls by profile, version and site."""


@dataclass(slots=True)
class Result:
    rows: list[dict[str, object]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)


def name_of(index: int) -> str:
    return f"dev-{index:06d}"


def sha_of(version: str) -> str:
    return version[0] * 64


def fill(fleet: Fleet, devices: int) -> None:
    """So many devices, all in the group `all`; each runs 1.0.0, has a document and was heard of now."""
    now = fleet.clock.now
    with fleet.state.store.transaction() as tx:
        for counter, version in enumerate(("1.0.0", "2.0.0"), start=1):
            release = Release(
                model=MODEL,
                version=version,
                index_sha256=sha_of(version),
                release_counter=counter,
                may_return_to=["1.0.0"] if counter > 1 else [],
                published_at=now,
                published_by="benchmark",
                size_bytes=4_000_000,
            )
            tx.add(release)
            tx.flush()
            assert release.id is not None
            tx.add(
                Variant(
                    release_id=release.id,
                    position=0,
                    name="int8",
                    manifest_sha256=sha_of(version),
                    size_bytes=4_000_000,
                    precision="int8",
                    requires={"runtime": "onnxruntime", "architectures": ["x86_64"]},
                )
            )
        tx.add(Group(name="all", created_at=now, created_by="benchmark", devices=devices))
    director = make_director(fleet.state)
    signed = {
        "epoch": director.epoch(),
        "keyid": director.key().public.keyid,
        "counter": 1,
        "envelope": b"x" * DOCUMENT_BYTES,
        "issued": now,
        "expires": now + director.life_s,
    }
    for begin in range(0, devices, BATCH):
        numbers = range(begin, min(begin + BATCH, devices))
        with fleet.state.store.transaction() as tx:
            tx.execute(insert(Device), [_device(i, now) for i in numbers])
            tx.execute(insert(DeviceLabel), [_label(i) for i in numbers])
            tx.execute(insert(DeviceModel), [_model(i, now) for i in numbers])
            tx.execute(insert(DesiredDocument), [{"device": name_of(i), **signed} for i in numbers])
            tx.execute(
                insert(Membership), [{"group": "all", "device": name_of(i), "since": now} for i in numbers]
            )


def _device(index: int, now: float) -> dict[str, object]:
    return Device(
        id=name_of(index),
        enrolled_at=now,
        profile=PROFILES[index % len(PROFILES)],
        agent="0.1.0",
        online=True,
        last_seen=now,
        capabilities={"arch": "x86_64", "runtimes": {"onnxruntime": "1.20.0"}, "memory_bytes": 4_000_000_000},
        resources={"disk_free_bytes": 10_000_000_000 + index},
    ).model_dump()


def _label(index: int) -> dict[str, object]:
    return {
        "device": name_of(index), "key": "site", "value": f"site-{index % SITES}", "source": "operator"
    }  # fmt: skip


def _model(index: int, now: float) -> dict[str, object]:
    return DeviceModel(
        device=name_of(index),
        model=MODEL,
        phase="COMMITTED",
        active_version="1.0.0",
        active_index=sha_of("1.0.0"),
        updated_at=now,
    ).model_dump()


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def start(fleet: Fleet) -> int:
    """A rollout whose only wave is under way: CHANGED devices are at it, the others wait."""
    spec = RolloutSpec.parse(SPEC)  # type: ignore[arg-type]  # a literal of JSON
    with fleet.state.store.transaction() as tx:
        planned = rollout_plan.make(tx, spec, salt="salt", now=fleet.clock.now).plan
        ready = rollout_start.prepare(tx, planned, now=fleet.clock.now)
        row = rollout_start.start(tx, ready, actor="benchmark", key=None, request_sha256="")
        assert row.id is not None
        return row.id


def progress(fleet: Fleet, rollout: int, phase: Phase) -> int:
    """Each device that was offered the release says that it has come to `phase`."""
    changed = 0
    with fleet.state.store.transaction() as tx:
        rows = tx.exec(
            select(ExecutionRow).where(
                ExecutionRow.rollout == rollout,
                col(ExecutionRow.state).in_((Execution.NOTIFIED.value, Execution.IN_PROGRESS.value)),
            )
        ).all()
        for row in rows:
            before = execution_of(row)
            after = on_phase(before, phase, running=False, reason="", code="", now=fleet.clock.now)
            changed += executions.save(tx, row, before, after)
    return changed


def ticks(fleet: Fleet, rollout: int, rounds: int) -> tuple[float, float, int]:
    """(median of a tick after CHANGED reports, median of a tick after none, devices that reported), s."""
    controller = make_controller(fleet.state)
    for _ in range(4):  # checked, started, offered
        controller.tick()
        fleet.clock.now += 1
    busy, idle, changed = [], [], 0
    phases = (Phase.DOWNLOADING, Phase.VERIFYING, Phase.STAGED, Phase.SELF_TESTING)
    for turn in range(rounds):
        changed = max(changed, progress(fleet, rollout, phases[turn % 2 * 2]))
        fleet.clock.now += 1
        busy.append(timed(controller.tick))
        fleet.clock.now += 1
        idle.append(timed(controller.tick))
    return statistics.median(busy), statistics.median(idle), changed


def answers(fleet: Fleet, rollout: int) -> dict[str, float]:
    """Median seconds of each page and answer, over HTTP."""
    token = fleet.token(Role.OPERATOR, expires_in_s=1e6)
    bearer = {"Authorization": f"Bearer {token}"}
    page = fleet.http.get("/login")
    assert page.status_code == 200, page.text
    signed = fleet.http.post("/login", data={"token": token}, headers={"Sec-Fetch-Site": "same-origin"})
    assert signed.status_code == 303, signed.text
    found = {}
    for name, path, headers in (
        ("page of the rollout", f"/rollouts/{rollout}", {}),
        ("page of a wave", f"/rollouts/{rollout}?wave=0", {}),
        ("page of all rollouts", "/rollouts", {}),
        ("answer: a rollout", f"/api/v1/rollouts/{rollout}", bearer),
        ("answer: executions of a wave", f"/api/v1/rollouts/{rollout}/executions?wave=0&limit=100", bearer),
        ("answer: rollouts", "/api/v1/rollouts", bearer),
    ):
        took = []
        for _ in range(REQUESTS):
            begun = time.perf_counter()
            answer = fleet.http.get(path, headers=headers)
            took.append(time.perf_counter() - begun)
            assert answer.status_code == 200, f"{path}: {answer.status_code}"
        found[name] = statistics.median(took)
    return found


@contextmanager
def database(*, postgresql: bool) -> Iterator[str]:
    """A URL of an empty database, "" for SQLite in the data folder."""
    if not postgresql:
        yield ""
        return
    with running_cluster(durable=True) as cluster:
        yield cluster.create("controller")


def measure(devices: int, *, postgresql: bool, largest: bool, result: Result) -> float:
    """Seconds of a tick with CHANGED reports."""
    with (
        tempfile.TemporaryDirectory() as name,
        database(postgresql=postgresql) as url,
        running_fleet(Path(name), database_url=url) as fleet,
    ):
        filled = timed(lambda: fill(fleet, devices))
        spec = RolloutSpec.parse(PLANNED)
        with fleet.state.store.read() as tx:
            plan_s = timed(
                lambda: rollout_plan.make(tx, spec, salt="salt", now=fleet.clock.now).plan.as_json()
            )
        started = []
        start_s = timed(lambda: started.append(start(fleet)))
        tick_s, idle_s, changed = ticks(fleet, started[0], ROUNDS)
        result.rows.append(
            {
                "database": "PostgreSQL" if postgresql else "SQLite",
                "devices": devices,
                "changed": changed,
                "tick ms": round(tick_s * 1000, 1),
                "idle tick ms": round(idle_s * 1000, 1),
                "plan s": round(plan_s, 2),
                "start s": round(start_s, 2),
                "filled in s": round(filled, 1),
            }
        )
        if largest:
            _bars_of_largest(fleet, started[0], plan_s, result)
        return tick_s


def _bars_of_largest(fleet: Fleet, rollout: int, plan_s: float, result: Result) -> None:
    result.bars.append(Bar(name="plan over the largest fleet, s", limit=PLAN_S, value=round(plan_s, 3)))
    for name, seconds in answers(fleet, rollout).items():
        result.bars.append(Bar(name=f"{name}, ms", limit=ANSWER_S * 1000, value=round(seconds * 1000, 1)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one object as the last line of stdout")
    parser.add_argument("--quick", action="store_true", help="10,000 devices instead of 100,000")
    parser.add_argument("--postgresql", action="store_true", help="over PostgreSQL instead of SQLite")
    given = parser.parse_args()
    sizes = (SMALL, 10_000) if given.quick else (SMALL, 10_000, 100_000)
    result = Result()
    took = {
        size: measure(size, postgresql=given.postgresql, largest=size == sizes[-1], result=result)
        for size in sizes
    }
    print_table(result.rows)
    ratio = round(took[sizes[-1]] / took[SMALL], 3)
    result.bars.insert(
        0,
        Bar(
            name=f"tick with {sizes[-1]} devices against {SMALL}, {CHANGED} changed",
            limit=TICK_RATIO,
            value=ratio,
        ),
    )
    return finish(result.rows, result.bars, as_json=given.json, packages=("limosa", "sqlalchemy"))


if __name__ == "__main__":
    sys.exit(main())

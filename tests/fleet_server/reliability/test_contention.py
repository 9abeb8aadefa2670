"""People, reports and the controller write at once, and PostgreSQL crashes in between: nothing blocks for
good, nobody is told of an error that is none of theirs, and nothing that was acknowledged is lost."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

import httpx
import pytest

from benchmarks.fleet.known import GROUP, MODEL, VERSIONS, know
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_server.deploy.check import check
from limosa_server.settings import ServerSettings
from tests.fleet_server.reliability.test_kill_9 import (
    DEVICES,
    World,
    names,
    online,
    postgresql_world,
    swarm,
)
from tests.fleet_server.world import make_trust
from tests.support.waiting import wait_until

__all__ = ["postgresql_world"]  # a fixture

ROLLOUT: Final = {
    "release": f"{MODEL}@{VERSIONS[1]}",
    "group": GROUP,
    "waves": [{"name": "some", "count": 8, "bake": "1s"}, {"name": "rest", "bake": "1s"}],
    "rate": {"maximum_per_minute": 100_000},
    "control": {"percent": 0},
    "timeouts": {"silence": "10m"},
}
FINE: Final = frozenset({200, 201, 204, 303, 404, 409, 422})
DOWN: Final = "LM-670"
NEVER_LOGGED: Final = ("Deadlock", "SerializationFailure", "InFailedSql", "InternalError", "IntegrityError")


def starts_and_cancels(http: httpx.Client, turn: int) -> httpx.Response:
    made = http.post("/api/v1/rollouts", json={**ROLLOUT, "priority": turn % 5})
    if made.status_code != 201:
        return made
    return http.post(f"/api/v1/rollouts/{made.json()['id']}/cancel", json={"rollback": turn % 2 == 0})


def labels(http: httpx.Client, turn: int) -> httpx.Response:
    """Memberships by selector follow."""
    device = names()[turn % DEVICES]
    return http.patch(f"/api/v1/devices/{device}/labels", json={"labels": {"site": f"s{turn % 3}"}})


def groups(http: httpx.Client, turn: int) -> httpx.Response:
    name = f"site-{turn % 3}"
    if turn % 2:
        return http.delete(f"/api/v1/groups/{name}")
    return http.post("/api/v1/groups", json={"name": name, "selector": f"site=s{turn % 3}"})


def looks(http: httpx.Client, turn: int) -> httpx.Response:
    return http.get(("/", "/api/v1/devices", "/api/v1/rollouts", "/metrics", "/healthz")[turn % 5])


STEPS: Final = (starts_and_cancels, starts_and_cancels, labels, labels, groups, looks)


class People:
    """One thread for each of STEPS, until they are stopped."""

    def __init__(self, world: World) -> None:
        self.answers: Counter[tuple[str, int, str]] = Counter()
        token = (world.data / "admin.token").read_text().strip()
        self._url = f"http://127.0.0.1:{world.ports[0]}"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(step,)) for step in STEPS]
        for thread in self._threads:
            thread.start()

    def fine(self, name: str) -> int:
        return sum(count for (step, status, _), count in self.answers.copy().items()
                   if step == name and status in FINE)  # fmt: skip

    def did(self) -> Counter[str]:
        """Step -> how often it was done."""
        return Counter({step.__name__: self.fine(step.__name__) for step in STEPS})

    def each_did(self, least: int, *, since: Counter[str]) -> bool:
        return all(count - since[name] >= least for name, count in self.did().items())

    def stop(self) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(60)

    def _work(self, step: Callable[[httpx.Client, int], httpx.Response]) -> None:
        with httpx.Client(base_url=self._url, headers=self._headers, trust_env=False, timeout=60) as http:
            turn = 0
            while not self._done.is_set():
                turn += 1
                answer = step(http, turn)
                code = ""
                if answer.status_code not in FINE:
                    with suppress(ValueError):
                        code = str(answer.json().get("code", ""))
                self.answers[step.__name__, answer.status_code, code] += 1


def contended(world: World, *, crashes: int, turns: int, quiet: bool = False) -> None:
    """`quiet`: nothing at all is logged that nobody foresaw."""
    assert world.cluster is not None
    key = SigningKey.generate(Algorithm.P256)
    make_trust(world.folder)
    know(world.place, world.data / "trust", names(), key.public)
    world.run_server()
    with swarm(world, key, bad=()) as end:
        wait_until(lambda: online(world) == DEVICES, timeout_s=60, what="every device is online")
        people = People(world)
        try:
            for crash in range(crashes + 1):
                before = people.did()
                for least in (2, turns):  # it is back; and it stays
                    broken_off = not_stored(world)
                    wait_until(
                        partial(people.each_did, least, since=before),
                        timeout_s=180,
                        what=lambda: str(people.answers),
                    )
                assert not_stored(world) == broken_off, "what the crash broke off, and nothing else"
                if crash < crashes:
                    world.cluster.stop(signal.SIGQUIT)  # as pg_ctl restart -m immediate does
                    world.cluster.start()
        finally:
            people.stop()
        last = world.post("/api/v1/rollouts", {**ROLLOUT, "priority": 99})["id"]
        wait_until(
            lambda: ended(world, last),
            timeout_s=120,
            what=lambda: f"the last rollout ends: {world.get(f'/api/v1/rollouts/{last}')}",
        )
        acked = end()
    assert world.server is not None
    assert world.server.stop() == 0
    odd = [one for one in people.answers if one[1] not in FINE and (one[1] != 503 or one[2] != DOWN)]
    assert odd == [], people.answers
    log = world.server.log()
    assert [word for word in NEVER_LOGGED if word in log] == []
    assert not quiet or "Traceback" not in log, log.partition("Traceback")[2][:8000]
    assert not_stored(world) == broken_off
    assert set(acked) == set(names())
    settings = ServerSettings(data=world.data, database_url=world.database)
    bad = [one.what for one in check(settings, world.place, read_blobs=False) if one.bad]
    assert [what for what in bad if not what.endswith(("on the disk", "in the registry"))] == []


def not_stored(world: World) -> int:
    """Batches of which the server has said that they could not be stored."""
    assert world.server is not None
    return world.server.log().count("could not be stored")


def ended(world: World, rollout: int) -> bool:
    found = world.get(f"/api/v1/rollouts/{rollout}")
    return bool(found) and found["status"] not in ("VALIDATING", "RUNNING")


def test_everybody_writes_at_once_and_postgresql_crashes_in_between(postgresql_world: World) -> None:
    contended(postgresql_world, crashes=1, turns=6)


@pytest.mark.soak
def test_everybody_writes_at_once_for_long(postgresql_world: World) -> None:
    contended(postgresql_world, crashes=8, turns=60, quiet=True)

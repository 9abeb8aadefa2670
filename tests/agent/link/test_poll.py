"""A broker that is connected and says nothing: the same is asked for over HTTPS (trust 4.4)."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import closing
from pathlib import Path
from unittest.mock import ANY

import pytest

from limosa_agent.config import AgentConfig
from limosa_agent.identity.enroll import enroll
from limosa_agent.identity.identity import load_identity
from limosa_agent.link.desired_inbox import DesiredInbox
from limosa_agent.link.https import HttpsLink, https_context
from limosa_agent.link.incoming import Incoming
from limosa_agent.link.outbox import Outbox
from limosa_agent.link.poll import HttpsPoll
from limosa_agent.link.uplink import Uplink
from limosa_agent.store.state_db import StateDb
from limosa_contracts.desired import PAYLOAD_TYPE, DesiredState, Farewell
from limosa_contracts.dsse import Envelope
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_contracts.topics import Suffix
from tests.agent.fleet import DEVICE, Fleet

INTERVAL_S = 0.3


class Device:
    """Enrolled, its broker connected; only what polls is running."""

    def __init__(self, fleet: Fleet, db: StateDb, folder: Path) -> None:
        config = AgentConfig(server=fleet.url, state_dir=folder)
        enroll(config, token=fleet.token, serial="")
        identity = load_identity(config.identity_dir)
        outbox = Outbox(db, max_bytes=1 << 20)
        director = fleet.world.online_key("director").public.pem().decode()
        db.set_meta("director_pem", director)
        self.inbox = DesiredInbox(
            db, device=identity.device, refresh=self._no_server, alarm=lambda key, error: None
        )
        self.incoming = Incoming(obey=self._obey)
        self.taken = asyncio.Event()
        self.poll = HttpsPoll(
            interval_s=INTERVAL_S,
            https=HttpsLink(
                server=config.server, identity=identity, context=lambda: https_context(config), proxy=None
            ),
            outbox=outbox,
            uplink=Uplink(
                outbox, device=identity.device, key=identity.key, publish=lambda m: True, ack_timeout_s=30.0
            ),
            inbox=self.inbox,
            incoming=self.incoming,
            mqtt_up=lambda: True,
            receive=self._receive,
        )

    async def _no_server(self) -> str | None:
        return None

    async def _obey(self, suffix: Suffix, payload: bytes) -> None:
        raise AssertionError("the broker says nothing")

    async def _receive(self, envelope: bytes) -> None:
        await self.inbox.receive(envelope)
        self.taken.set()

    async def told_within(self, seconds: float, *, broker_talks: bool) -> bool:
        """Whether the desired state came over HTTPS."""

        async def talk() -> None:
            while True:
                self.incoming.heard()
                await asyncio.sleep(INTERVAL_S / 10)

        parts = [asyncio.create_task(self.poll.run())]
        if broker_talks:
            parts.append(asyncio.create_task(talk()))
        try:
            await asyncio.wait_for(self.taken.wait(), seconds)
        except TimeoutError:
            return False
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
        return True


def test_broker_that_is_silent_for_the_interval_is_gone_around(fleet: Fleet, tmp_path: Path) -> None:
    fleet.want(fleet.world.publish("1.0.0"))

    async def silent(db: StateDb) -> None:
        device = Device(fleet, db, tmp_path / "state")
        before = time.monotonic()
        assert await device.told_within(30.0, broker_talks=False)
        assert device.inbox.state is not None
        assert [model.version for model in device.inbox.state.models] == ["1.0.0"]
        assert device.incoming.heard_s > before, "asked again after another interval, not at once"

    with closing(StateDb.open(tmp_path / "state")) as db:
        asyncio.run(silent(db))


def test_broker_that_talks_is_enough(fleet: Fleet, tmp_path: Path) -> None:
    fleet.want(fleet.world.publish("1.0.0"))

    async def busy(db: StateDb) -> None:
        device = Device(fleet, db, tmp_path / "state")
        assert not await device.told_within(8 * INTERVAL_S, broker_talks=True)

    with closing(StateDb.open(tmp_path / "state")) as db:
        asyncio.run(busy(db))


def last_document(fleet: Fleet, key: SigningKey) -> bytes:
    now = int(time.time())
    state = DesiredState(
        device=DEVICE, epoch=1, counter=now * 1000, issued=now, expires=now + 3600, models=(),
        decommissioned=Farewell(at=now, reason="sold"),
    )  # fmt: skip
    return Envelope.sign(state.encode(), payload_type=PAYLOAD_TYPE, key=key).encode()


def refuse_with(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, document: bytes) -> None:
    """What a server answers to a device that it has taken out."""
    problem = {"title": "not of the fleet", "status": 403, "code": "LM-606", "desired": document.decode()}
    goes_on = fleet.answer

    def answer(method: str, path: str, body: bytes, etag: str) -> tuple[int, bytes, dict[str, str]]:
        if path == "/api/v1/device/token":
            return 403, json.dumps(problem).encode(), {}
        return goes_on(method, path, body, etag)

    monkeypatch.setattr(fleet, "answer", answer)


def test_a_device_that_is_refused_for_good_is_told_why_by_the_director(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(db: StateDb) -> None:
        device = Device(fleet, db, tmp_path / "state")
        refuse_with(fleet, monkeypatch, last_document(fleet, fleet.world.online_key("director")))
        assert await device.told_within(30.0, broker_talks=False)
        assert device.inbox.decommissioned == Farewell(at=ANY, reason="sold")
        later = fleet.want_models()  # it was a mistake, or a director that was captured
        await device.inbox.receive(later)
        assert device.inbox.decommissioned is None

    with closing(StateDb.open(tmp_path / "state")) as db:
        asyncio.run(refused(db))


@pytest.mark.parametrize("forged", [True, False])
def test_a_server_or_a_proxy_cannot_say_that_a_device_is_taken_out(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forged: bool
) -> None:
    """Signed by another key, or no document at all: the device goes on, and asks again."""

    async def refused(db: StateDb) -> None:
        device = Device(fleet, db, tmp_path / "state")
        other = SigningKey.generate(Algorithm.ED25519)
        refuse_with(fleet, monkeypatch, last_document(fleet, other) if forged else b"you are out")
        assert await device.told_within(30.0, broker_talks=False)
        assert device.inbox.decommissioned is None
        assert sum(device.inbox.refused.values()) >= 1

    with closing(StateDb.open(tmp_path / "state")) as db:
        asyncio.run(refused(db))

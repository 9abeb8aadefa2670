"""Documents that came while the clock was wrong (trust 3.3, 4.2)."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

from limosa_agent.link.desired_inbox import DesiredInbox
from limosa_agent.store.state_db import StateDb
from limosa_contracts.desired import PAYLOAD_TYPE, DesiredState
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import TrustError
from limosa_contracts.signing_keys import Algorithm, SigningKey

NOW = 1_800_000_000.0
YEAR_2100 = 4_102_444_800.0
DIRECTOR = SigningKey.generate(Algorithm.ED25519)


def document(counter: int) -> bytes:
    state = DesiredState(
        device="dev-1", epoch=1, counter=counter, issued=int(NOW), expires=int(NOW) + 86400, models=()
    )
    return Envelope.sign(state.encode(), payload_type=PAYLOAD_TYPE, key=DIRECTOR).encode()


class Device:
    """Its inbox, and a clock that can be set."""

    def __init__(self, db: StateDb, *, clock: float) -> None:
        self.clock = clock
        self.told: list[str] = []
        db.set_meta("director_pem", DIRECTOR.public.pem().decode())
        self.inbox = DesiredInbox(
            db, device="dev-1", refresh=self._no_server, alarm=self._hear, clock=lambda: self.clock
        )

    async def _no_server(self) -> None:
        return None

    def _hear(self, key: str, error: TrustError) -> None:
        self.told.append(error.code)

    def takes(self, envelope: bytes) -> bool:
        return asyncio.run(self.inbox.receive(envelope))

    def looks_again(self) -> int:
        """The counter that is wanted then; 0 for none."""
        asyncio.run(self.inbox.look_again())
        return self.inbox.state.counter if self.inbox.state else 0


def test_document_that_expired_by_a_wrong_clock_is_taken_when_the_clock_is_set(tmp_path: Path) -> None:
    with closing(StateDb.open(tmp_path)) as db:
        device = Device(db, clock=YEAR_2100)
        assert not device.takes(document(7))
        assert device.looks_again() == 0, "the clock still says that it has expired"
        device.clock = NOW
        assert device.looks_again() == 7
        assert device.told == ["LM-512"], "told once"
        assert Device(db, clock=NOW).inbox.order == (1, 7), "and durable"


def test_newer_document_is_not_followed_by_the_one_that_had_expired(tmp_path: Path) -> None:
    with closing(StateDb.open(tmp_path)) as db:
        device = Device(db, clock=YEAR_2100)
        assert not device.takes(document(7))
        device.clock = NOW
        assert device.takes(document(8))
        assert device.looks_again() == 8
        assert device.told == ["LM-512"]


def test_clock_that_fell_back_to_1970_makes_no_expired_document_valid_again(tmp_path: Path) -> None:
    """3.3: time is judged by the floor. A battery died, and a document of last year began installs anew."""
    with closing(StateDb.open(tmp_path)) as db:
        device = Device(db, clock=NOW)
        assert device.takes(document(7))
        expired = [device.inbox.expired]
        db.set_meta("time_floor", f"{NOW + 2 * 86400:.0f}")
        device.clock = 0.0
        expired.append(device.inbox.expired)
        assert expired == [False, True]
        assert not device.takes(document(8))
        assert device.inbox.order == (1, 7), "it goes on with what it has"

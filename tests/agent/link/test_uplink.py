"""When the broker takes reports of which the server acknowledges none (agent 6.2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from limosa_agent.link.https import Answer, refused
from limosa_agent.link.outbox import Outbox
from limosa_agent.link.uplink import DEAF_TIMEOUTS, Uplink
from limosa_agent.store.state_db import StateDb
from limosa_contracts.report_message import Ack, ReportMessage
from limosa_contracts.signing_keys import Algorithm, SigningKey

TIMEOUT_S = 30.0


class Link:
    """A clock that the test turns, and a broker that takes everything."""

    def __init__(self, db: StateDb) -> None:
        self.now = 1000.0
        self.taken: list[ReportMessage] = []
        self.outbox = Outbox(db, max_bytes=1 << 20)
        self.uplink = Uplink(
            self.outbox, device="dev-1", key=SigningKey.generate(Algorithm.P256), publish=self.publish,
            ack_timeout_s=TIMEOUT_S, clock=lambda: self.now,
        )  # fmt: skip

    def publish(self, message: ReportMessage) -> bool:
        self.taken.append(message)
        return True

    def deaf(self) -> bool:
        return self.uplink.deaf

    def wait(self, seconds: float) -> None:
        """As the supervisor does: it hands over what it may, again and again."""
        for _ in range(int(seconds / 10)):
            self.now += 10
            self.uplink.pump()


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Link]:
    db = StateDb.open(tmp_path)
    yield Link(db)
    db.close()


def test_silence_of_the_server_is_noticed_although_everything_is_sent_again(link: Link) -> None:
    link.outbox.put_event("e", b"{}")
    link.uplink.pump()
    link.wait((DEAF_TIMEOUTS - 1) * TIMEOUT_S)
    assert not link.deaf()
    link.wait(2 * TIMEOUT_S)
    assert link.deaf()
    assert len(link.taken) > 2, "it goes on trying"
    link.uplink.acknowledged(Ack(session=link.outbox.session, seq=link.taken[-1].seq))
    assert not link.deaf()


def test_nothing_to_say_is_no_silence(link: Link) -> None:
    link.wait(100 * TIMEOUT_S)
    assert not link.deaf()
    link.outbox.put_event("e", b"{}")
    link.uplink.pump()
    assert not link.deaf()


def test_server_that_acknowledges_slowly_is_not_deaf(link: Link) -> None:
    for number in range(60):
        link.outbox.put_event(f"e{number}", b"{}")
    link.uplink.pump()
    for seq in range(1, 20):
        link.wait(TIMEOUT_S)
        link.uplink.acknowledged(Ack(session=link.outbox.session, seq=seq))
        assert not link.deaf()


@pytest.mark.parametrize(
    ("status", "header", "expected"),
    [
        (503, "120", 120),
        (429, "7", 7),
        (500, "120", None),
        (503, "soon", None),
        (503, "1e9", None),
        (503, "", None),
    ],
)
def test_patience_that_the_server_asks_for_is_read(status: int, header: str, expected: int | None) -> None:
    error = refused(Answer(status=status, headers={"retry-after": header}, body=b"{}"), where="reports")
    assert error.evidence.get("retry_after_s") == expected

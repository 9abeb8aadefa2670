"""Reports arrive exactly once and in order, whatever the link does (agent 6.2, telemetry 3.2)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from limosa_agent.link.outbox import Outbox
from limosa_agent.link.uplink import Uplink
from limosa_agent.store.state_db import StateDb
from limosa_contracts.baseline import BINS
from limosa_contracts.report_message import Ack, ReportMessage
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_contracts.window import Window, empty_sketch
from tests.agent.fleet import ReportStore

KEY = SigningKey.generate(Algorithm.P256)


@contextmanager
def opened(folder: Path, *, max_bytes: int = 1 << 20) -> Iterator[Outbox]:
    db = StateDb.open(folder)
    try:
        yield Outbox(db, max_bytes=max_bytes)
    finally:
        db.close()


def window(index: int, *, rev: int = 1, n: int = 30) -> Window:
    return Window(
        device="dev-1", model="demo/motion", version="1.0.0", model_digest="a" * 16, baseline="b" * 16,
        boot="1-x", index=index, rev=rev, clock="rtc", started_mono_s=1.0 + index, started_at=1.0,
        length_s=10.0, n=n, counters={"requests": n}, sketch=empty_sketch(bins=[BINS] * 3, classes=4),
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.sampled_from(["put", "put", "deliver", "deliver", "lose", "double", "late", "reconnect", "timeout",
                         "ack", "lose_ack", "https", "restart"]),
        max_size=60,
    )
)  # fmt: skip
def test_loss_doubles_and_reordering_change_nothing_in_the_end(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = LossyWorld(Path(folder))
        for step in steps:
            getattr(world, step)()
        world.settle()
        assert world.received() == world.sent
        world.close()


class LossyWorld:
    """A device's outbox, a link that loses, doubles and reorders, and the server's side of the rules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.wire: list[ReportMessage] = []
        self.acks: list[Ack] = []
        self.store = ReportStore()
        self.sent: list[bytes] = []
        self.open()

    def open(self) -> None:
        self.db = StateDb.open(self.folder)
        self.outbox = Outbox(self.db, max_bytes=1 << 20)
        self.uplink = Uplink(
            self.outbox,
            device="dev-1",
            key=KEY,
            publish=self.publish,
            ack_timeout_s=5,
            clock=lambda: self.now,
        )

    def publish(self, message: ReportMessage) -> bool:
        self.wire.append(message)
        return True

    def put(self) -> None:
        payload = b"%d" % len(self.sent)
        self.sent.append(payload)
        self.outbox.put_event(f"e{len(self.sent)}", payload)
        self.uplink.pump()

    def deliver(self) -> None:
        if self.wire:
            self.acks.append(self.store.take(self.wire.pop(0)))

    def lose(self) -> None:
        if self.wire:
            self.wire.pop(0)

    def double(self) -> None:
        if self.wire:
            self.wire.append(self.wire[0])

    def late(self) -> None:
        if self.wire:
            self.wire.append(self.wire.pop(0))

    def ack(self) -> None:
        if self.acks:
            self.uplink.acknowledged(self.acks.pop(0))

    def lose_ack(self) -> None:
        if self.acks:
            self.acks.pop(0)

    def timeout(self) -> None:
        self.now += 6
        self.uplink.pump()

    def reconnect(self) -> None:
        self.wire.clear()
        self.uplink.connected()

    def https(self) -> None:
        self.uplink.took([self.store.take(message) for message in self.uplink.batch()])

    def restart(self) -> None:
        self.db.close()
        self.wire.clear()
        self.open()

    def settle(self) -> None:
        for _ in range(200):
            if not self.outbox.rows:
                return
            self.timeout()
            while self.wire:
                self.deliver()
            while self.acks:
                self.ack()
        raise AssertionError(f"{self.outbox.rows} rows never arrive")

    def received(self) -> list[bytes]:
        return [message.payload for message in self.store.rows]

    def close(self) -> None:
        self.db.close()


def test_same_event_waits_once(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        outbox.put_event("r1:1:m:COMMITTED", b"one")
        outbox.put_event("r1:1:m:COMMITTED", b"again")
        assert [row.payload for row in outbox.after(0, limit=9)] == [b"one"]


def test_higher_rev_takes_the_place_of_a_lower(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        outbox.put_window(window(0, rev=1))
        outbox.put_event("e", b"between")
        outbox.put_window(window(0, rev=2, n=40))
        outbox.put_window(window(0, rev=1))
        rows = outbox.after(0, limit=9)
        assert [row.prev for row in rows] == [0, rows[0].seq]
        assert Window.parse(rows[1].payload).n == 40


def test_acknowledgement_of_another_session_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        outbox.put_event("e", b"x")
        outbox.mark_sent(1)
        assert not outbox.acknowledged(session=outbox.session + 1, seq=99)
        assert outbox.rows == 1


def test_acknowledgement_beyond_what_left_takes_nothing_else(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        for i in range(200):
            outbox.put_event(f"e{i}", b"x")
        outbox.mark_sent(1)
        outbox.acknowledged(session=outbox.session, seq=10**9)
        assert outbox.rows > 100


def test_full_outbox_merges_old_windows_and_keeps_every_count_and_event(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=4096) as outbox:
        outbox.put_event("e", b"an event")
        for index in range(40):
            outbox.put_window(window(index))
        rows = outbox.after(0, limit=99)
        windows = [Window.parse(row.payload) for row in rows if row.payload.startswith(b'{"')]
        assert sum(w.n for w in windows) == 40 * 30
        assert sum(w.counters["requests"] for w in windows) == 40 * 30
        assert len(windows) < 20
        assert outbox.bytes <= 4096 + len(window(0).encode())
        assert any(row.payload == b"an event" for row in rows)


def test_window_of_which_something_has_left_is_never_merged(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=65536) as outbox:
        outbox.put_window(window(0))
        outbox.mark_sent(outbox.after(0, limit=1)[0].seq)
    with opened(tmp_path, max_bytes=1024) as outbox:
        for index in range(1, 6):
            outbox.put_window(window(index))
        indexes = [Window.parse(row.payload).index for row in outbox.after(0, limit=99)]
        assert indexes[0] == 0
        assert Window.parse(outbox.after(0, limit=1)[0].payload).n == 30

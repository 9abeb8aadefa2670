"""A device that nobody hears of for weeks, with the real database on disk (agent 6.2, telemetry 3.3)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from limosa_agent.link.outbox import Outbox
from limosa_agent.link.uplink import Uplink
from limosa_agent.store.state_db import StateDb
from limosa_contracts.event import UpdateEvent
from limosa_contracts.phases import Phase
from limosa_contracts.report_message import ReportMessage
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_contracts.topics import Suffix
from limosa_contracts.window import Window
from tests.agent.fleet import ReportStore
from tests.agent.link.test_outbox import window
from tests.agent.link.test_outbox_bound import event

HOUR_S = 3600.0


@dataclass
class Counted:
    """What the server must know of in the end."""

    inferences: int = 0
    crashes: int = 0
    verdicts: list[str] = field(default_factory=list)


@dataclass
class Device:
    folder: Path
    max_bytes: int
    counted: Counted = field(default_factory=Counted)
    mqtt_up: bool = False
    wire: list[ReportMessage] = field(default_factory=list)
    now_s: float = 0.0
    lived_h: int = 0

    def boot(self) -> None:
        self.db = StateDb.open(self.folder)
        self.outbox = Outbox(self.db, max_bytes=self.max_bytes)
        self.uplink = Uplink(
            self.outbox, device="dev-1", key=KEY, publish=self.publish, ack_timeout_s=30,
            clock=lambda: self.now_s,
        )  # fmt: skip

    def publish(self, message: ReportMessage) -> bool:
        self.wire.append(message)
        return self.mqtt_up

    def live(self, hours: int) -> None:
        """Two models that answer, a crash now and then, a release a week, a power cut every four days."""
        for hour in range(self.lived_h, self.lived_h + hours):
            self.now_s += HOUR_S
            for model, index in (("a", 2 * hour), ("b", 2 * hour + 1)):
                for rev, n in ((1, 30), (2, 60)):
                    self.outbox.put_window(replace(window(index, rev=rev, n=n), model_digest=model * 16))
                self.counted.inferences += 60
            self.outbox.put_reported(b'{"hour":%d}' % hour)
            if hour % 5 == 0:
                self.outbox.put_alarm(event(f"crash:{hour}", at=float(hour)))
                self.counted.crashes += 1
            if hour % 168 == 1 and self.outbox.may_begin():
                self.release(f"r{hour}")
            if hour % 100 == 99:
                self.db.close()
                self.boot()
        self.lived_h += hours

    def release(self, rollout: str) -> None:
        for phase in (Phase.RESOLVING, Phase.DOWNLOADING, Phase.PROBATION, Phase.COMMITTED):
            step = event(f"{rollout}:{phase.value}", kind="update", code="", rollout=rollout, phase=phase)
            self.outbox.put_event(step.key, step.encode())
        self.counted.verdicts.append(rollout)

    def disk_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.glob("state.db*"))

    def meet(self, server: ReportStore) -> None:
        """The link is back: everything is delivered over HTTPS, batch by batch."""
        for _ in range(10_000):
            batch = self.uplink.batch()
            if not batch:
                return
            self.uplink.took([server.take(message) for message in batch])
        raise AssertionError("the outbox does not empty")


KEY = SigningKey.generate(Algorithm.P256)


def told(server: ReportStore) -> Counted:
    """As a server counts: the highest rev of a window, an event once per key."""
    windows: dict[tuple[str, int], Window] = {}
    events: dict[str, UpdateEvent] = {}
    for message in server.rows:
        if message.suffix is Suffix.WINDOW:
            one = Window.parse(message.payload)
            key = (one.model_digest, one.index)
            if key not in windows or windows[key].rev < one.rev:
                windows[key] = one
        elif message.suffix is Suffix.EVENT:
            found = UpdateEvent.parse(message.payload)
            events.setdefault(found.key, found)
    repeated = [e.reason.evidence.get("repeated", 1) for e in events.values() if e.kind == "alarm"]
    return Counted(
        inferences=sum(one.n for one in windows.values()),
        crashes=sum(count for count in repeated if isinstance(count, int)),
        verdicts=[e.rollout for e in events.values() if e.phase is Phase.COMMITTED and e.kind == "update"],
    )


def lived_offline(folder: Path, *, weeks: int, max_bytes: int) -> None:
    device, server = Device(folder, max_bytes), ReportStore()
    device.boot()
    device.live(weeks * 168)
    assert device.outbox.bytes <= max_bytes + 4096
    assert device.disk_bytes() <= 4 * max_bytes + (8 << 20), "with the log of the database"
    device.meet(server)
    assert told(server) == device.counted
    assert device.outbox.rows == 0
    device.db.close()


def test_a_week_offline_fits_into_few_bytes_and_nothing_is_miscounted(tmp_path: Path) -> None:
    lived_offline(tmp_path, weeks=1, max_bytes=24 << 10)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_twelve_weeks_offline_fit_into_the_bytes_and_nothing_is_miscounted(tmp_path: Path) -> None:
    lived_offline(tmp_path, weeks=12, max_bytes=256 << 10)


def test_broker_that_takes_and_loses_everything_for_weeks_costs_no_count(tmp_path: Path) -> None:
    device, server = Device(tmp_path, 24 << 10, mqtt_up=True), ReportStore()
    device.boot()
    for _ in range(3):
        device.live(40)
        device.uplink.pump()  # it leaves, and is never heard of
    assert len(device.wire) >= 64
    device.meet(server)
    assert told(server) == device.counted
    device.db.close()

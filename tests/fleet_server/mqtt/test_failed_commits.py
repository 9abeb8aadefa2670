"""The database fails while devices come, go and answer; afterwards it holds what they said (server 3.1)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
from sqlmodel import select

from limosa_contracts.device_command import ANSWER_TYPE, CommandAnswer, Outcome
from limosa_contracts.dsse import Envelope
from limosa_contracts.status import Status
from limosa_contracts.topics import Suffix, device_topic
from limosa_server.errors import StoreBusy
from limosa_server.mqtt.broker import BrokerChild
from limosa_server.mqtt.broker_config import MOSQUITTO
from limosa_server.mqtt.bus import BrokerAddress
from limosa_server.mqtt.bus_workers import BusWorkers
from limosa_server.mqtt.owed import ANSWERS_MAX, Owed
from limosa_server.settings import ServerLimits
from limosa_server.store import Store
from limosa_server.tables.commands import CommandRow
from limosa_server.tables.devices import Device as DeviceRow
from limosa_server.tables.reports import EventRow
from tests.fleet_server.mqtt_device import MqttDevice, connected
from tests.fleet_server.world import Device, Fleet, running_fleet
from tests.support.postgresql import running_cluster
from tests.support.programs import require_program
from tests.support.waiting import wait_until

PATIENCE_S = 0.2  # of a transaction for its turn, here
COMMAND = "c1"
World: TypeAlias = Callable[[Path], AbstractContextManager[tuple[Fleet, AbstractContextManager[None]]]]
"""A server, and the outage of its database."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program writes to a SQLite file, and takes its time."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def quick(fleet: Fleet) -> None:
    """It notices a lock at once, not after 15 s."""
    fleet.state.store.close()
    fleet.state.store = Store.open(fleet.state.settings.database, busy_timeout_s=PATIENCE_S)


@contextmanager
def on_sqlite(folder: Path) -> Iterator[tuple[Fleet, AbstractContextManager[None]]]:
    with running_fleet(folder) as fleet:
        quick(fleet)
        yield fleet, locked(Path(fleet.state.settings.database))


@contextmanager
def on_postgresql(folder: Path) -> Iterator[tuple[Fleet, AbstractContextManager[None]]]:
    with running_cluster() as cluster, running_fleet(folder, database_url=cluster.create("limosa")) as fleet:

        @contextmanager
        def stopped() -> Iterator[None]:
            cluster.stop()
            yield
            cluster.start()

        yield fleet, stopped()


def asked(fleet: Fleet, device: Device) -> None:
    with fleet.state.store.transaction() as tx:
        tx.add(
            CommandRow(
                id=COMMAND, device=device.id, kind="identify", asked={}, created_at=fleet.clock.now,
                created_by="test", expires_at=fleet.clock.now + 300,
            )
        )  # fmt: skip


def answer(device: Device, *, command: str = COMMAND) -> bytes:
    said = CommandAnswer(id=command, device=device.id, at=1.0, outcome=Outcome.DONE, body={"said": "here"})
    return Envelope.sign(said.encode(), payload_type=ANSWER_TYPE, key=device.key).encode()


def presence(fleet: Fleet, device: Device) -> tuple[bool, int]:
    with fleet.state.store.read() as tx:
        row = tx.get_one(DeviceRow, device.id)
        return row.online, row.presence_session


def command_state(fleet: Fleet) -> str:
    with fleet.state.store.read() as tx:
        return tx.get_one(CommandRow, COMMAND).state


def event_keys(fleet: Fleet) -> list[str]:
    with fleet.state.store.read() as tx:
        return list(tx.exec(select(EventRow.key)))


class Spoken:
    """One device's link, and what is said over it."""

    def __init__(self, link: MqttDevice) -> None:
        self._link = link

    def presence(self, session: int, *, online: bool) -> None:
        said = Status(online=online, session=session).encode()
        self._link.publish(device_topic(self._link.id, Suffix.STATUS), said)

    def answer(self, device: Device) -> None:
        self._link.publish(device_topic(device.id, Suffix.ANSWER), answer(device))

    def nonsense(self) -> None:
        """Which the server's log tells of: everything before it has been read then."""
        self._link.publish(device_topic(self._link.id, Suffix.EVENT), b"{}")


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize("world", [on_sqlite, on_postgresql])
def test_who_came_and_who_answered_while_nothing_could_be_stored_is_known_afterwards(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A device that connected while the database was down was offline for the server until it connected
    once more; what an operator had asked it seemed to have no answer."""
    with running_broker(tmp_path / "broker") as broker, world(tmp_path / "server") as (fleet, outage):
        came, went = fleet.enroll(), fleet.enroll()
        asked(fleet, came)
        with (
            running_workers(fleet, broker) as workers,
            connected(came.id, port=broker.port) as one,
            connected(went.id, port=broker.port) as two,
        ):
            coming, going, event = Spoken(one), Spoken(two), came.event("a")
            going.presence(3, online=True)
            wait_until(lambda: presence(fleet, went) == (True, 3), timeout_s=20, what="it is there")
            with outage:
                coming.presence(9, online=True)
                wait_for_log(caplog, "could not be stored")
                coming.answer(came)
                going.presence(3, online=False)
                one.send(event)
                coming.presence(8, online=False)  # the will of the connection before, late
                coming.nonsense()
                wait_for_log(caplog, "is not one of ours")
                caplog.clear()
                wait_for_log(caplog, "could not be")
                assert one.acks == [], "no report is acknowledged that is not committed"
            wait_until(lambda: presence(fleet, came) == (True, 9), timeout_s=30, what="who came is there")
            wait_until(lambda: presence(fleet, went) == (False, 3), timeout_s=30, what="who went is not")
            wait_until(lambda: command_state(fleet) == "done", timeout_s=30, what="the answer is there")
            one.send(event)  # as a device does that has waited
            one.wait_for_ack(1)
            assert event_keys(fleet) == ["a"]
            assert workers.bus.counts().connections == 1, "nothing came again with a new connection"


def test_what_is_owed_is_bounded_and_tried_until_it_is_stored(tmp_path: Path) -> None:
    with on_sqlite(tmp_path) as (fleet, outage):
        device = fleet.enroll()
        asked(fleet, device)
        owed = Owed(fleet.state)
        with outage:
            owed.add({device.id: Status(online=True, session=2)}, [(device.id, answer(device))])
            for _ in range(2):
                with pytest.raises(StoreBusy):
                    owed.store()
            owed.add({}, [(device.id, answer(device, command=f"x{i}")) for i in range(ANSWERS_MAX)])
            assert owed.full, "whoever adds waits now"
        owed.store()
        assert (presence(fleet, device), command_state(fleet)) == ((True, 2), "done")


@pytest.mark.both_databases
def test_a_word_that_no_database_holds_is_given_up_alone(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    """A contract refuses such a number before; if it did not, everybody's presence would wait for ever."""
    good, bad = fleet.enroll(), fleet.enroll()
    owed = Owed(fleet.state)
    said = Status(online=True, session=1)
    owed.add({good.id: said, bad.id: replace(said, session=2**70)}, [])
    owed.store()
    assert presence(fleet, good) == (True, 1)
    assert presence(fleet, bad) == (False, 0)
    assert f"the presence of {bad.id} cannot be stored" in caplog.text
    owed.store()  # nothing is left


def test_an_offline_word_that_waited_does_not_make_the_device_seen_since(fleet: Fleet) -> None:
    device, owed = fleet.enroll(), Owed(fleet.state)
    owed.add({device.id: Status(online=True, session=1)}, [])
    owed.store()
    spoke = fleet.clock.now = fleet.clock.now + 10
    owed.add({device.id: Status(online=False, session=1)}, [])
    fleet.clock.now += 3600  # the database was down for an hour
    owed.store()
    with fleet.state.store.read() as tx:
        assert tx.get_one(DeviceRow, device.id).last_seen == spoke


@contextmanager
def running_broker(folder: Path) -> Iterator[BrokerChild]:
    require_program("mosquitto")
    child = BrokerChild(MOSQUITTO, folder, host="127.0.0.1", port=0, limits=ServerLimits())
    child.start()
    yield child
    child.stop()


@contextmanager
def running_workers(fleet: Fleet, broker: BrokerChild) -> Iterator[BusWorkers]:
    workers = BusWorkers(fleet.state, BrokerAddress(host=broker.host, port=broker.port))
    workers.start()
    wait_until(lambda: workers.bus.counts().connected, timeout_s=20, what="the server is connected")
    yield workers
    workers.stop()


def wait_for_log(caplog: pytest.LogCaptureFixture, words: str) -> None:
    wait_until(lambda: words in caplog.text, timeout_s=30, what=lambda: f"{words!r} in {caplog.text}")

"""One device sends numbers that no device has, between the reports of all the others (telemetry 3.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from sqlmodel import select

from limosa_contracts.report_message import ReportMessage
from limosa_contracts.topics import Suffix
from limosa_server.reports.ingest import Incoming, Ingest
from limosa_server.rollouts.kept_sums import SUM_MAX, add_up
from limosa_server.rollouts.modes_ingest import COUNT_MAX
from limosa_server.rollouts.modes_report import values_reported
from limosa_server.store import Store
from limosa_server.tables.devices import Device as DeviceRow
from limosa_server.tables.modes import ArmKpiRow, DeviceKpiRow, ShadowCountRow
from limosa_server.tables.reports import EventRow
from tests.fleet_server.databases import Database
from tests.fleet_server.obedient import publish
from tests.fleet_server.retention import samples
from tests.fleet_server.world import MODEL, Device, Fleet

pytestmark = pytest.mark.both_databases
ABSURD: Final = (
    "-1", "0.5", "-0.0", f"{2**53 + 1}", f"{2**62}", f"{2**63 - 1}", f"{2**63}", f"{-(2**63)}", f"{2**64}",
    "9" * 400, "9" * 5000, "-" + "9" * 400, "1e308", "-1e308", "1e-320", "1e999", "-1e999", "NaN",
    "-Infinity", "true",
)  # fmt: skip
MARK: Final = 987654321
TENS: Final = (0,) * 9 + (5,)


def leaves(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of numbers."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from leaves(item, (*at, name))
    elif isinstance(value, list):
        for i, item in enumerate(value[:2]):
            yield from leaves(item, (*at, i))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield at


def with_number(document: Any, at: tuple[Any, ...], number: str) -> bytes:
    changed = json.loads(json.dumps(document))
    place = changed
    for name in at[:-1]:
        place = place[name]
    place[at[-1]] = MARK
    return json.dumps(changed).replace(str(MARK), number).encode()


def documents(device: Device) -> Iterator[tuple[Suffix, dict[str, Any]]]:
    """One of each kind of report, with everything in it that has a number."""
    window = json.loads(device.window(index=0, rev=1, n=50).payload)
    window["counters"] |= {"errors": 1, "shadow_compared": 9, "shadow_disagreed": 1, "shadow_dropped": 0}
    window |= {
        "memory_bytes": 5,
        "feedback": {"kpis": {"k": {"n": 1, "sum": 2.0, "squares": 4.0}}, "labelled": TENS, "correct": TENS},
        "shadow": {"compared": TENS, "disagreed": TENS, "pairs": [[0, 1, 5]]},
    }
    yield Suffix.WINDOW, json.loads(json.dumps(window))
    event = json.loads(device.event("e").payload)
    event["reason"]["evidence"] = {"took_s": 1.5}
    yield Suffix.EVENT, event
    reported = json.loads(device.reported().payload)
    reported["resources"] = {"disk_free_bytes": 5, "rss_bytes": 7}
    reported["capabilities"] |= {"memory_bytes": 9}
    yield Suffix.REPORTED, reported


def test_no_number_in_any_report_keeps_others_from_being_stored(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    publish(fleet, "1.0.0", 1)
    good, bad = fleet.enroll(), fleet.enroll()
    kinds = list(documents(bad))
    bad.seq = 0
    sent: list[Incoming] = []
    for suffix, document in kinds:
        for at in leaves(document):
            sent += [Incoming(device=bad.id, message=one) for one in hostile(bad, suffix, document, at)]
    assert len(sent) > 500
    ingest = Ingest(fleet.state)
    for begin in range(0, len(sent), 100):
        part = sent[begin : begin + 100]
        event = Incoming(device=good.id, message=good.event(f"{begin:05}"))
        acked = {done.device: done.ack.seq for done in ingest.take([*part, event])}
        assert acked == {good.id: good.seq, bad.id: part[-1].message.seq}, "stored, or refused for good"
    assert "cannot be checked" not in caplog.text
    assert "cannot be stored" not in caplog.text
    with fleet.state.store.read() as tx:
        assert len(tx.exec(select(EventRow.key).where(EventRow.device == good.id)).all()) == good.seq


def hostile(device: Device, suffix: Suffix, document: Any, at: tuple[Any, ...]) -> Iterator[ReportMessage]:
    for number in ABSURD:
        yield device.message(suffix, with_number(document, at, number))


def test_a_kpi_that_is_counted_to_the_end_of_its_column_stays_there(fleet: Fleet) -> None:
    """1,024 windows of the most that is taken in one: PostgreSQL refused the sum, and with it the batch."""
    publish(fleet, "1.0.0", 1)
    device = fleet.enroll()
    window = json.loads(device.window(index=0, rev=1, n=50).payload)
    window["feedback"] = {"kpis": {"k": {"n": COUNT_MAX, "sum": 1e250, "squares": 1e250}}}
    device.seq = 0
    sent = [device.message(Suffix.WINDOW, json.dumps(window | {"index": i}).encode()) for i in range(600)]
    ingest = Ingest(fleet.state)
    for part in (sent[:300], sent[300:]):
        done = ingest.take([Incoming(device=device.id, message=one) for one in part])
        assert [one.ack.seq for one in done] == [part[-1].seq]
    with fleet.state.store.read() as tx:
        row = tx.get_one(DeviceKpiRow, (device.id, MODEL, "1.0.0", "k"))
        assert (row.n, row.total < 1e254) == (SUM_MAX, True)


def test_kept_sums_of_liars_stay_within_their_columns_and_can_be_read(database: Database) -> None:
    store = Store.open(database.place())
    with store.transaction() as tx:
        tx.add(samples.rollout(1, ended_at=None))
        tx.add_all(DeviceRow(id=name, enrolled_at=samples.NOW) for name in "abc")
        tx.flush()
        most = {"rollout": 1, "device": "a", "compared": SUM_MAX, "disagreed": -SUM_MAX, "dropped": 1}
        for _ in range(3):
            add_up(
                tx, ShadowCountRow, ("rollout", "device"), [most, most], ("compared", "disagreed", "dropped")
            )
        for device in "abc":
            one = {"rollout": 1, "kpi": "k", "device": device, "n": SUM_MAX, "total": 1.5, "squares": 2.0}
            add_up(tx, ArmKpiRow, ("rollout", "kpi", "device"), [one], ("n", "total", "squares"))
    with store.read() as tx:
        shadow = tx.get_one(ShadowCountRow, (1, "a"))
        assert (shadow.compared, shadow.disagreed, shadow.dropped) == (SUM_MAX, -SUM_MAX, 6)
        assert values_reported(tx, 1) == {"k": 3 * SUM_MAX}
    store.close()

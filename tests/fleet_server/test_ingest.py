"""Reports are committed once, whatever the link does to them (server 3.3, telemetry 3.2)."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func
from sqlmodel import col, select

from limosa_contracts.report_message import ReportMessage
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_contracts.topics import Suffix
from limosa_server.reports.ingest import Incoming, Ingest
from limosa_server.state import News
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device as DeviceRow
from limosa_server.tables.devices import DeviceLabel, DeviceModel
from limosa_server.tables.reports import EventRow, RefusedReport, WindowRow
from tests.fleet_server.obedient import publish
from tests.fleet_server.world import MODEL, Device, Fleet, as_batch

pytestmark = pytest.mark.both_databases


def post(fleet: Fleet, device: Device, *messages: ReportMessage) -> list[dict[str, int]]:
    answer = fleet.http.post("/api/v1/device/reports", json=as_batch(*messages), headers=fleet.access(device))
    assert answer.status_code == 200, answer.text
    acks: list[dict[str, int]] = answer.json()["acks"]
    return acks


def inferences(fleet: Fleet) -> int:
    with fleet.state.store.read() as tx:
        return tx.exec(select(func.sum(WindowRow.n))).one() or 0


def events(fleet: Fleet) -> list[str]:
    with fleet.state.store.read() as tx:
        return list(tx.exec(select(EventRow.key).order_by(EventRow.key)))


def refused(fleet: Fleet, device: Device) -> dict[str, int]:
    with fleet.state.store.read() as tx:
        return {row.code: row.count for row in tx.exec(select(RefusedReport)) if row.device == device.id}


def test_a_batch_is_acknowledged_up_to_its_last_number(fleet: Fleet) -> None:
    device = fleet.enroll()
    assert post(fleet, device, device.event("a"), device.event("b")) == [{"session": 7, "seq": 2}]
    assert events(fleet) == ["a", "b"]


def test_a_doubled_batch_is_acknowledged_again_and_counted_once(fleet: Fleet) -> None:
    publish(fleet, "1.0.0", 1)
    device = fleet.enroll()
    batch = (device.event("a"), device.window(index=0, rev=1, n=5))
    assert post(fleet, device, *batch) == post(fleet, device, *batch)
    assert events(fleet) == ["a"]
    assert inferences(fleet) == 5


def test_of_one_window_many_times_in_a_batch_the_highest_revision_holds(fleet: Fleet) -> None:
    """Also where two names of a boot are one to a database that cannot hold U+0000."""
    publish(fleet, "1.0.0", 1)
    device = fleet.enroll()
    batch = [device.window(index=0, rev=rev, n=10 * rev) for rev in (1, 3, 2)]
    assert post(fleet, device, *batch) == [{"session": 7, "seq": 3}]
    assert inferences(fleet) == 30
    told = json.loads(batch[0].payload)
    twins = [
        device.message(Suffix.WINDOW, json.dumps(told | {"boot": boot, "n": n, "rev": n}).encode())
        for boot, n in (("b\0", 1), ("b\ufffd", 2))
    ]
    assert post(fleet, device, *twins) == [{"session": 7, "seq": 5}]
    assert inferences(fleet) == 32


def test_what_a_link_swapped_is_stored_at_once_in_its_order(fleet: Fleet) -> None:
    """A device would wait for two seconds and more before it sends again."""
    device = fleet.enroll()
    a, b, c, d = (device.event(name) for name in "abcd")
    assert post(fleet, device, b, d, c, c, a, b) == [{"session": 7, "seq": 4}]
    with fleet.state.store.read() as tx:
        assert list(tx.exec(select(EventRow.key).order_by(col(EventRow.id)))) == ["a", "b", "c", "d"]
    text = fleet.http.get("/metrics").text
    assert 'limosa_reports_total{kind="evt",result="duplicate"} 2.0' in text
    assert 'result="gap"' not in text


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(6)), again=st.lists(st.integers(0, 5), max_size=4))
def test_in_whatever_order_one_batch_brings_an_outbox_all_of_it_is_stored_once(
    fleet: Fleet, order: list[int], again: list[int]
) -> None:
    device = fleet.enroll()
    sent = [device.event(f"{i}") for i in range(6)]
    batch = [Incoming(device=device.id, message=sent[i]) for i in (*order, *again)]
    assert [done.ack.seq for done in Ingest(fleet.state).take(batch)] == [6]
    with fleet.state.store.read() as tx:
        rows = select(EventRow.key).where(EventRow.device == device.id)
        assert list(tx.exec(rows.order_by(col(EventRow.id)))) == [f"{i}" for i in range(6)]


def test_after_a_gap_nothing_is_stored_until_the_missing_message_comes(fleet: Fleet) -> None:
    device = fleet.enroll()
    first, lost, third = device.event("a"), device.event("b"), device.event("c")
    assert post(fleet, device, first, third) == [{"session": 7, "seq": 1}]
    assert events(fleet) == ["a"]
    assert post(fleet, device, lost, third) == [{"session": 7, "seq": 3}]
    assert events(fleet) == ["a", "b", "c"]


def test_of_two_windows_with_one_key_the_higher_revision_holds_in_any_order(fleet: Fleet) -> None:
    publish(fleet, "1.0.0", 1)
    device = fleet.enroll()
    for rev, n in ((2, 20), (1, 10), (4, 40), (3, 30)):
        post(fleet, device, device.window(index=0, rev=rev, n=n))
    assert inferences(fleet) == 40


def test_shuffled_and_doubled_messages_leave_exact_totals(fleet: Fleet) -> None:
    """Go-back-N under a link that reorders: what is not acknowledged is sent again until it is."""
    publish(fleet, "1.0.0", 1)
    devices = [fleet.enroll() for _ in range(3)]
    ingest, draw = Ingest(fleet.state), random.Random(7)
    outboxes = {
        device.id: [device.window(index=i // 4, rev=i % 4 + 1, n=10 * (i % 4 + 1)) for i in range(40)]
        for device in devices
    }
    acked = dict.fromkeys(outboxes, 0)
    while any(acked[name] < 40 for name in outboxes):
        sent = [
            Incoming(device=name, message=message)
            for name, messages in outboxes.items()
            for message in messages[max(0, acked[name] - 5) : acked[name] + 15]
        ]
        draw.shuffle(sent)
        for done in ingest.take(sent + sent[::3]):
            assert done.ack.seq >= acked[done.device]
            acked[done.device] = done.ack.seq
    assert inferences(fleet) == 3 * 10 * 40


def test_windows_that_count_against_another_baseline_are_refused_and_counted(fleet: Fleet) -> None:
    """Telemetry 2.2: counts over other bins are never merged with ours. The device forgets them."""
    publish(fleet, "1.0.0", 1)
    device = fleet.enroll()
    ours = device.window(index=0, rev=1, n=5)
    theirs = [device.window(index=i, rev=2, n=50, baseline="2" * 16) for i in range(2)]
    assert post(fleet, device, ours, *theirs) == [{"session": 7, "seq": 3}]
    assert inferences(fleet) == 5
    assert refused(fleet, device) == {"LM-612": 2}
    assert 'limosa_sketch_reports_total{result="refused"} 2.0' in fleet.http.get("/metrics").text


def test_windows_of_a_release_that_nobody_published_are_refused(fleet: Fleet) -> None:
    device = fleet.enroll()
    assert post(fleet, device, device.window(index=0, rev=1, n=5)) == [{"session": 7, "seq": 1}]
    assert inferences(fleet) == 0
    assert refused(fleet, device) == {"LM-612": 1}


def test_a_report_signed_by_another_key_is_never_acknowledged(fleet: Fleet) -> None:
    device = fleet.enroll()
    forged = device.message(Suffix.EVENT, b"{}", key=SigningKey.generate(Algorithm.P256))
    assert post(fleet, device, forged) == []
    assert refused(fleet, device) == {}


def test_one_device_cannot_speak_for_another(fleet: Fleet) -> None:
    device, victim = fleet.enroll(), fleet.enroll()
    stolen = victim.event("a")
    device.seq = 0
    wrapped = device.message(Suffix.EVENT, stolen.payload)
    assert post(fleet, device, wrapped) == [{"session": 7, "seq": 1}]
    assert events(fleet) == []
    assert refused(fleet, device) == {"LM-410": 1}
    assert post(fleet, device, stolen) == []


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b"\xff", b'{"schema":"limosa.event/2"}', b"[" * 5000, b'{"a":1,"a":2}', b"x" * 65537],
)
def test_a_malformed_report_is_counted_and_acknowledged_so_that_it_is_not_sent_for_ever(
    fleet: Fleet, payload: bytes
) -> None:
    device = fleet.enroll()
    bad, good = device.message(Suffix.EVENT, payload), device.event("after")
    done = Ingest(fleet.state).take([Incoming(device=device.id, message=one) for one in (bad, good)])
    assert [one.ack.seq for one in done] == [2]
    assert events(fleet) == ["after"]
    assert sum(refused(fleet, device).values()) == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    payload=st.binary(max_size=200), suffix=st.sampled_from([Suffix.EVENT, Suffix.REPORTED, Suffix.WINDOW])
)
def test_no_bytes_whatever_stop_the_ingest(fleet: Fleet, payload: bytes, suffix: Suffix) -> None:
    device = fleet.enroll()
    message = device.message(suffix, payload)
    done = Ingest(fleet.state).take([Incoming(device=device.id, message=message)])
    assert [one.ack.seq for one in done] == [1]


def test_half_a_character_in_a_report_is_refused(fleet: Fleet) -> None:
    device = fleet.enroll()
    message = device.event("a")
    payload = message.payload.replace(b'"boot":"b1"', b'"boot":"\\ud800"')
    device.seq = 0
    assert post(fleet, device, device.message(Suffix.EVENT, payload)) == [{"session": 7, "seq": 1}]
    assert refused(fleet, device) == {"LM-411": 1}


def test_what_a_device_reports_of_itself_is_shown(fleet: Fleet) -> None:
    device = fleet.enroll()
    post(
        fleet,
        device,
        device.reported(version="1.0.0"),
        device.reported(version="2.0.0", labels={"site": "hq"}),
    )
    with fleet.state.store.read() as tx:
        row = tx.get_one(DeviceRow, device.id)
        assert (row.agent, row.desired_epoch, row.desired_counter) == ("0.1.0", 1, 5)
        assert row.profile == "cpu-generic"
        assert tx.get_one(DeviceModel, (device.id, MODEL)).active_version == "2.0.0"
        assert tx.get_one(DeviceLabel, (device.id, "site")).value == "hq"


def test_a_device_does_not_overwrite_an_operators_label(fleet: Fleet) -> None:
    device = fleet.enroll()
    fleet.http.put(
        f"/api/v1/devices/{device.id}/labels", json={"labels": {"site": "lab"}}, headers=fleet.headers()
    )
    post(fleet, device, device.reported(labels={"site": "hq", "<script>": "x"}))
    with fleet.state.store.read() as tx:
        labels = {row.key: row.value for row in tx.exec(select(DeviceLabel))}
    assert labels == {"site": "lab"}


def test_a_number_no_outbox_reaches_is_not_taken(fleet: Fleet) -> None:
    device = fleet.enroll()
    device.seq = 2**63
    message = device.event("a")
    assert Ingest(fleet.state).take([Incoming(device=device.id, message=message)]) == []


def test_a_report_that_cannot_be_stored_stops_only_its_own_device(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = fleet.enroll(), fleet.enroll()

    def handler(tx: Transaction, news: News, now: float) -> None:
        if bad.id in news:
            raise RuntimeError("a defect")

    fleet.state.report_handlers.append(handler)
    batch = [
        Incoming(device=bad.id, message=bad.event("x")),
        Incoming(device=good.id, message=good.event("y")),
    ]
    assert [done.device for done in Ingest(fleet.state).take(batch)] == [good.id]
    assert events(fleet) == ["y"]
    assert "cannot be stored" in caplog.text

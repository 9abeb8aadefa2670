"""What needs attention is counted by the database, and few of many are named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from limosa_server.pages.attention import Concern, concerns
from limosa_server.pages.limits import LIMITS
from limosa_server.store import Transaction
from limosa_server.tables.alerts import AlertRow
from limosa_server.tables.devices import Device, DeviceCertificate, DeviceModel
from limosa_server.tables.rollouts import RolloutRow
from tests.fleet_server.databases import Database
from tests.fleet_server.small_fleet import MODEL, SmallFleet

pytestmark = pytest.mark.both_databases
DAY_S = 86400.0


@pytest.fixture
def fleet(database: Database) -> Iterator[SmallFleet]:
    made = SmallFleet(database.place(), database.folder, devices=9)
    yield made
    made.close()


def seen(fleet: SmallFleet) -> list[Concern]:
    with fleet.store.read() as tx:
        return concerns(tx, now=fleet.now)


def fall(tx: Transaction, name: str, reason: str = "") -> None:
    row = tx.get_one(DeviceModel, (name, MODEL))
    row.phase, row.reason = "FELL_BACK", reason


def test_devices_that_went_back_are_counted_and_the_first_two_reasons_told(fleet: SmallFleet) -> None:
    with fleet.store.transaction() as tx:
        for name, reason in (("d1", "slow"), ("d2", "crashed"), ("d3", "slow"), ("d4", "hot"), ("d0", "")):
            fall(tx, name, reason)
        tx.get_one(Device, "d4").state = "revoked"
    (one,) = seen(fleet)
    assert (one.what, one.why) == ("4 devices refused a release or went back from it", "slow; crashed")


def test_without_a_reason_they_are_named_as_far_as_a_line_goes(fleet: SmallFleet) -> None:
    with fleet.store.transaction() as tx:
        fall(tx, "d5")
    assert [(one.what, one.why) for one in seen(fleet)] == [
        ("1 device refused a release or went back from it", "d5")
    ]
    with fleet.store.transaction() as tx:
        for name in fleet_names(8):
            fall(tx, name)
    assert [one.why for one in seen(fleet)] == [", ".join(fleet_names(LIMITS.named_max)) + ", …"]


def test_those_that_cannot_be_reached_are_told_by_their_number_and_the_longest_silence(
    fleet: SmallFleet,
) -> None:
    with fleet.store.transaction() as tx:
        for place, name in enumerate(fleet_names(8)):
            row = tx.get_one(Device, name)
            row.online, row.last_seen = False, fleet.now - 3600 * (8 - place)
    (one,) = seen(fleet)
    assert (one.what, one.at) == ("8 devices cannot be reached", None)
    assert one.why.startswith("d0, d1, d2, d3, d4, d5, …; the longest silent one for 8 h")


def test_a_rollout_that_waits_for_a_yes_needs_somebody(fleet: SmallFleet) -> None:
    """The alert said that it stands, the overview that nothing does."""
    rollout = fleet.start()
    with fleet.store.transaction() as tx:
        row = tx.get_one(RolloutRow, rollout)
        row.status, row.reason = "WAITING_FOR_APPROVAL", "one person must agree"
    (one,) = seen(fleet)
    assert (one.why, one.link) == ("one person must agree", f"/rollouts/{rollout}")
    assert "waiting for approval" in one.what


def alert(tx: Transaction, name: str, severity: str, *, link: str = "", silence: int | None = None) -> None:
    tx.add(
        AlertRow(
            fingerprint=name, rule=name, severity=severity, state="firing", labels={}, summary=name,
            detail="", count=1, capped=False, devices=[], link=link, since=1.0, silence=silence,
        )
    )  # fmt: skip


def test_while_an_alert_fires_nobody_reads_that_nothing_needs_them(fleet: SmallFleet) -> None:
    with fleet.store.transaction() as tx:
        alert(tx, "for information", "info")
        alert(tx, "silenced", "critical", silence=1)
    assert seen(fleet) == []
    with fleet.store.transaction() as tx:
        alert(tx, "a disk is full", "warning")
    assert [(one.tone, one.what, one.why) for one in seen(fleet)] == [
        ("warn", "1 alert fires", "a disk is full")
    ]
    with fleet.store.transaction() as tx:
        fall(tx, "d5")
        alert(tx, "the server's disk is full", "critical")
        alert(tx, "one that stands in a line of its own", "critical", link="/devices?state=trouble")
    assert next((one.tone, one.what, one.why) for one in seen(fleet)) == (
        "bad", "2 alerts fire", "the server's disk is full"
    )  # fmt: skip


def test_only_a_certificate_that_nothing_newer_follows_is_told(fleet: SmallFleet) -> None:
    held: dict[str, list[tuple[float, bool]]] = {
        "d0": [(-DAY_S, False)],  # (ends in, revoked)
        "d1": [(DAY_S, False), (90 * DAY_S, False)],  # has renewed
        "d2": [(DAY_S, False), (90 * DAY_S, True)],  # what it renewed was revoked
        "d3": [(90 * DAY_S, False)],
        "d4": [(DAY_S, True)],
        "d5": [(-9 * DAY_S, False), (2 * DAY_S, False)],
    }
    with fleet.store.transaction() as tx:
        for device, several in held.items():
            tx.add_all(
                DeviceCertificate(
                    fingerprint=f"{device}-{place}", device=device, serial_number="1", pem="", issued_at=0.0,
                    not_after=fleet.now + ends, revoked_at=1.0 if revoked else None,
                )
                for place, (ends, revoked) in enumerate(several)
            )  # fmt: skip
    assert [(one.tone, one.what) for one in seen(fleet)] == [
        ("bad", "The certificate of d0 has expired"),
        ("warn", "The certificate of d2 expires soon"),
        ("warn", "The certificate of d5 expires soon"),
    ]


def fleet_names(count: int) -> list[str]:
    return [f"d{i}" for i in range(count)]

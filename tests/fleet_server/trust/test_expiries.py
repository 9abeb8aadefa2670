"""What ends is known long before it does (trust 2.2, 6.3)."""

from __future__ import annotations

from limosa_server.access.roles import Role
from limosa_server.trust.expiries import Severity, expiries, pressing
from tests.fleet_server.world import Fleet

DAY = 86400.0


def test_a_new_fleet_has_nothing_pressing(fleet: Fleet) -> None:
    found = expiries(fleet.state, fleet.clock.now)
    assert pressing(found) == []
    assert {one.key for one in found} == {
        "root", "targets", "team role/demo", "snapshot", "timestamp", "device CA",
    }  # fmt: skip


def test_a_teams_role_is_told_30_and_7_days_before_it_ends(fleet: Fleet) -> None:
    told = {}
    for days in (59, 61, 84, 91):
        now = fleet.clock.now + days * DAY
        fleet.state.tuf.republish(now)
        told[days] = {one.key: one.severity for one in pressing(expiries(fleet.state, now))}
    assert told == {
        59: {},
        61: {"team role/demo": Severity.WARNING},
        84: {"team role/demo": Severity.URGENT},
        91: {"team role/demo": Severity.EXPIRED},
    }


def test_a_timestamp_is_told_only_when_nobody_renews_it(fleet: Fleet) -> None:
    renewed_in_time = fleet.clock.now + 0.6 * DAY
    forgotten = fleet.clock.now + 0.8 * DAY
    assert pressing(expiries(fleet.state, renewed_in_time)) == []
    assert [one.key for one in pressing(expiries(fleet.state, forgotten))] == ["timestamp"]


def test_the_worst_comes_first_and_says_what_to_do(fleet: Fleet) -> None:
    first = expiries(fleet.state, fleet.clock.now + 181 * DAY)[0]
    assert first.severity is Severity.EXPIRED
    said = first.as_json(fleet.clock.now + 181 * DAY)
    assert str(said["remedy"]).startswith("limosa ")
    assert said["consequence"]


def test_the_overview_and_the_metrics_say_what_ends_soon(fleet: Fleet) -> None:
    fleet.clock.now += 61 * DAY
    fleet.state.tuf.republish(fleet.clock.now)
    token = fleet.token(Role.VIEWER)
    assert fleet.http.post("/login", data={"token": token}).status_code == 303
    shown = fleet.http.get("/").text
    assert "The team role demo ends in 28 days" in shown
    assert "limosa keys refresh --offline DIR --team demo" in shown
    assert 'limosa_expiry_seconds{name="demo",what="team role"}' in fleet.http.get("/metrics").text

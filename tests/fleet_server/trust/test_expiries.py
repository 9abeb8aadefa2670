"""What ends is known long before it does (trust 2.2, 6.3)."""

from __future__ import annotations

from sqlalchemy import update
from sqlmodel import col

from limosa_server.access.roles import Role
from limosa_server.tables.access import ApiToken
from limosa_server.trust.expiries import Severity, expiries, pressing
from tests.fleet_server.world import Fleet

DAY = 86400.0


def test_a_new_fleet_has_nothing_pressing(fleet: Fleet) -> None:
    found = expiries(fleet.state, fleet.clock.now)
    assert pressing(found) == []
    assert {one.key for one in found} == {
        "root", "targets", "team role/demo", "snapshot", "timestamp", "root CA", "device CA",
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


def test_the_root_ca_is_told_before_it_ends_after_ten_years(fleet: Fleet) -> None:
    """It was in no list: in the tenth year no device would have reached the server any more."""
    told = {}
    for days in (3600, 3625, 3645, 3651):
        found = {one.what: one for one in expiries(fleet.state, fleet.clock.now + days * DAY)}
        told[days] = found["root CA"].severity
        assert found["root CA"].remedy.startswith("limosa keys rotate root-ca ")
    assert list(told.values()) == [
        Severity.FINE, Severity.WARNING, Severity.URGENT, Severity.EXPIRED,
    ]  # fmt: skip


def test_a_token_of_the_build_that_ends_soon_is_told_by_name(fleet: Fleet) -> None:
    """One that was made for an afternoon, one that nobody uses and one that was renewed are not."""
    year = 365 * DAY
    for name, life_s in (("ci", year), ("afternoon", 3600.0), ("renewed", year), ("renewed", 2 * year)):
        text = fleet.token(Role.PUBLISHER, name=name, expires_in_s=life_s)
        fleet.http.get("/api/v1/releases", headers={"Authorization": f"Bearer {text}"})
    fleet.token(Role.VIEWER, name="unused", expires_in_s=year)

    def tokens(days: float) -> dict[str, Severity]:
        with fleet.state.store.transaction() as tx:
            tx.execute(update(ApiToken).values(last_used_at=fleet.clock.now + (days - 1) * DAY)
                       .where(col(ApiToken.last_used_at).is_not(None)))  # fmt: skip
        found = expiries(fleet.state, fleet.clock.now + days * DAY)
        return {one.name: one.severity for one in found if one.what == "API token"}

    assert tokens(0.01) == {"ci": Severity.FINE, "renewed": Severity.FINE}
    assert tokens(336)["ci"] is Severity.WARNING
    assert tokens(360) == {"ci": Severity.URGENT, "renewed": Severity.FINE}
    assert tokens(366) == {"renewed": Severity.FINE}


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

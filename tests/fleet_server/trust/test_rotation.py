"""Each key is replaced by its command while the server runs, and devices follow alone (trust 1.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from limosa_contracts.audit_trail import AuditHead
from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_contracts.signing_keys import SigningKey
from limosa_server.access import audit, audit_heads
from limosa_server.access.roles import Role
from limosa_server.assembly import make_controller
from limosa_server.tables.access import AuditRow
from limosa_server.tables.rollouts import DesiredDocument
from limosa_server.trust.watch import TrustWatch
from tests.fleet_server.databases import Database
from tests.fleet_server.device_side import DeviceSide
from tests.fleet_server.signed_release import assign, publish
from tests.fleet_server.world import TEAM, Fleet, running_fleet


@pytest.fixture
def fleet(tmp_path: Path, database: Database) -> Iterator[Fleet]:
    """Two of three root keys must sign."""
    with running_fleet(tmp_path, database_url=database.url(), one_root_key=False) as running:
        TrustWatch(running.state).step()
        yield running


@pytest.fixture
def device(fleet: Fleet, tmp_path: Path) -> Iterator[DeviceSide]:
    side = DeviceSide(fleet, tmp_path)
    yield side
    side.close()


def limosa(*words: str | Path) -> int:
    return run(make_host(), prog_name="limosa", args=[str(word) for word in words])


def keys(fleet: Fleet, *words: str, offline: bool = True) -> None:
    """`limosa keys …`, and the running server's next look at its folder."""
    places: list[str | Path] = ["--server", fleet.state.settings.trust]
    places += ["--offline", fleet.offline] if offline else []
    assert limosa("keys", *words, *places) == 0
    fleet.clock.now += 2.0
    assert TrustWatch(fleet.state).step()


def sync(fleet: Fleet) -> int:
    return limosa(
        "publish", "--sync", "--offline", fleet.offline, "--team", TEAM,
        "--server", str(fleet.http.base_url), "--token", fleet.token(Role.PUBLISHER),
    )  # fmt: skip


def noted(fleet: Fleet) -> list[str]:
    """What the audit says was replaced."""
    with fleet.state.store.read() as tx:
        rows = tx.exec(
            select(AuditRow).where(col(AuditRow.action) == "key.replace").order_by(col(AuditRow.seq))
        )
        return [row.object for row in rows]


@pytest.mark.parametrize(
    ("words", "replaced"),
    [
        (["root"], "root"),
        (["root", "--number", "2"], "root"),
        (["targets"], "targets"),
        (["snapshot"], "snapshot"),
        (["timestamp"], "timestamp"),
        (["team", "--team", TEAM], f"team {TEAM}"),
        (["director"], "director"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_a_device_installs_before_and_after_a_key_was_replaced(
    fleet: Fleet, device: DeviceSide, words: list[str], replaced: str
) -> None:
    before = publish(fleet, "1.0.0")
    assert "directory" in device.install("1.0.0", before)
    keys(fleet, "rotate", *words)
    if words[0] == "team":
        assert sync(fleet) == 0
    after = publish(fleet, "2.0.0")
    for version, index in (("2.0.0", after), ("1.0.0", before)):
        said = device.install(version, index)
        assert "directory" in said, said
    assign(fleet, device.device, "2.0.0", after)
    assert device.obeys(device.document())
    assert noted(fleet) == [replaced]


def test_a_captured_director_orders_nobody_any_more_and_cannot_have_made_devices_deaf(
    fleet: Fleet, device: DeviceSide
) -> None:
    captured = fleet.state.director_key
    last = device.document()
    assert device.obeys(last)
    keys(fleet, "rotate", "director")
    fresh = device.document()
    assert device.obeys(fresh)
    fleet.state.director_key = captured
    assert not device.obeys(device.document())


def test_documents_are_signed_anew_by_the_new_director_without_anybody_asking(
    fleet: Fleet, device: DeviceSide
) -> None:
    device.document()
    keys(fleet, "rotate", "director")
    make_controller(fleet.state).tick()
    with fleet.state.store.read() as tx:
        row = tx.get_one(DesiredDocument, device.device.id)
    assert row.keyid == fleet.state.trust.key("director").public.keyid
    assert device.obeys(row.envelope)


def test_a_lost_root_key_is_replaced_by_the_two_that_are_left_and_two_lost_are_too_many(
    fleet: Fleet, device: DeviceSide, capsys: pytest.CaptureFixture[str]
) -> None:
    (fleet.offline / "root-2.pem").unlink()
    keys(fleet, "rotate", "root", "--number", "2")
    assert "director_pem" in device.refresh()
    assert (fleet.offline / "root-2.pem").exists()
    for number in (1, 3):
        (fleet.offline / f"root-{number}.pem").unlink()
    places = ("--server", fleet.state.settings.trust, "--offline", fleet.offline)
    assert limosa("keys", "rotate", "root", *places) == 2
    assert "LM-661" in capsys.readouterr().err


def test_a_stolen_team_key_signs_nothing_any_more(fleet: Fleet, device: DeviceSide) -> None:
    old = publish(fleet, "1.0.0")
    stolen = SigningKey.parse((fleet.offline / "teams" / TEAM / "team.pem").read_bytes())
    keys(fleet, "rotate", "team", "--team", TEAM, "--retire")
    assert sync(fleet) == 0
    new = publish(fleet, "2.0.0")
    assert "directory" in device.install("2.0.0", new)
    refused = device.install("1.0.0", old)  # its model was signed with the stolen key
    assert refused.get("code"), refused
    assert (
        stolen.public.keyid
        != SigningKey.parse((fleet.offline / "teams" / TEAM / "team.pem").read_bytes()).public.keyid
    )


def test_a_release_that_others_published_meanwhile_survives_the_new_team_key(
    fleet: Fleet, device: DeviceSide, tmp_path: Path
) -> None:
    """The rotation was signed on a folder that had not heard of 1.0.0."""
    index = publish(fleet, "1.0.0")  # through the API: the offline folder does not have it
    keys(fleet, "rotate", "team", "--team", TEAM)
    assert "directory" in device.install("1.0.0", index), "not taken back before the sync"
    assert sync(fleet) == 0
    said = device.install("1.0.0", index)
    assert "directory" in said, said
    team_role = json.loads(
        fleet.http.get(f"/api/v1/teams/{TEAM}/metadata/{TEAM}", headers=fleet.headers()).text
    )
    key = SigningKey.parse((fleet.offline / "teams" / TEAM / "team.pem").read_bytes())
    assert team_role["signatures"][0]["keyid"] in json.dumps(team_role["signed"]["delegations"])
    assert key.public.pem().decode() in [
        one["keyval"]["public"] for one in team_role["signed"]["delegations"]["keys"].values()
    ]


def test_a_new_team_needs_no_restart(fleet: Fleet) -> None:
    keys(fleet, "add-team", "--team", "audio")
    found = fleet.http.get("/api/v1/teams/audio/metadata/audio", headers=fleet.headers())
    assert found.status_code == 200
    with fleet.state.store.read() as tx:
        added = tx.exec(select(AuditRow.object).where(AuditRow.action == "key.add")).all()
    assert list(added) == ["team audio"]


def test_half_of_a_change_is_left_for_the_next_look(fleet: Fleet, device: DeviceSide) -> None:
    """The key has come, the root that names it has not yet: the server goes on with what it has."""
    path = fleet.state.settings.trust / "keys" / "timestamp.pem"
    kept = path.read_bytes()
    watch = TrustWatch(fleet.state)
    path.write_bytes((fleet.state.settings.trust / "keys" / "snapshot.pem").read_bytes())
    assert not watch.step()
    fleet.state.tuf.republish(fleet.clock.now + 13 * 3600)
    assert "director_pem" in device.refresh()
    path.write_bytes(kept)
    watch.step()
    assert noted(fleet) == []


def test_heads_of_the_audit_are_checked_with_the_key_of_their_time(fleet: Fleet) -> None:
    def head() -> str:
        state = fleet.state
        fleet.clock.now += 301
        with state.store.transaction() as tx:
            audit.record(tx, at=fleet.clock.now, actor="test", action="test", object="test")
        assert audit_heads.sign_due(
            state.store, state.trust.key("audit"), epoch=state.trust.epoch(), now=fleet.clock.now
        )
        with state.store.read() as tx:
            return audit_heads.newest_text(tx)

    old = head()
    keys(fleet, "rotate", "audit", offline=False)
    new = head()
    with fleet.state.store.read() as tx:
        public = audit_heads.public_keys(tx, fleet.state.trust.key("audit").public)
    assert len(public) == 2
    assert AuditHead.verify(old, public).seq < AuditHead.verify(new, public).seq


def test_a_new_access_token_key_makes_devices_ask_again(fleet: Fleet) -> None:
    device = fleet.enroll()
    headers = fleet.access(device)
    reports: dict[str, Any] = {"messages": []}
    assert fleet.http.post("/api/v1/device/reports", json=reports, headers=headers).status_code == 200
    assert limosa("keys", "rotate", "access-token", "--server", fleet.state.settings.trust) == 0
    TrustWatch(fleet.state).step()
    assert fleet.http.post("/api/v1/device/reports", json=reports, headers=headers).status_code == 401
    again = fleet.access(device)
    assert fleet.http.post("/api/v1/device/reports", json=reports, headers=again).status_code == 200

"""A rewritten history is proven by what was kept elsewhere: exports, and heads on devices (trust 6.5)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import delete, update
from sqlmodel import col, select

from limosa_contracts.audit_trail import GENESIS, AuditHead
from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_contracts.desired import DesiredState
from limosa_contracts.dsse import Envelope
from limosa_server.access import audit, audit_heads
from limosa_server.access.roles import Role
from limosa_server.tables.access import AuditRow
from limosa_server.tables.trust import AuditHeadRow
from tests.fleet_server.device_side import DeviceSide
from tests.fleet_server.world import Fleet

pytestmark = pytest.mark.usefixtures("signed_in")


@pytest.fixture
def signed_in(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMOSA_SERVER", str(fleet.http.base_url))
    monkeypatch.setenv("LIMOSA_TOKEN", fleet.token(Role.VIEWER))
    monkeypatch.setenv("NO_COLOR", "1")


def limosa(*words: str | Path) -> int:
    return run(make_host(), prog_name="limosa", args=[str(word) for word in words])


def did(fleet: Fleet, *actions: str) -> None:
    for action in actions:
        with fleet.state.store.transaction() as tx:
            audit.record(tx, at=fleet.clock.now, actor="test", action=action, object="x", after={"n": 1.5})


def head(fleet: Fleet) -> str:
    fleet.clock.now += 301
    state = fleet.state
    assert audit_heads.sign_due(state.store, state.trust.key("audit"), epoch=1, now=fleet.clock.now)
    with state.store.read() as tx:
        return audit_heads.newest_text(tx)


def rewrite(fleet: Fleet, seq: int) -> None:
    """Whoever has the server changes one row, and makes all that follow fit again."""
    with fleet.state.store.transaction() as tx:
        rows = tx.exec(select(AuditRow).order_by(col(AuditRow.seq))).all()
        previous = GENESIS
        for row in rows:
            if row.seq == seq:
                row.actor = "somebody else"
            row.prev_hash = previous
            row.hash = audit.hash_of(row)
            previous = row.hash
            tx.add(row)


def test_a_head_is_signed_when_rows_came_and_five_minutes_have_passed(fleet: Fleet) -> None:
    state, key = fleet.state, fleet.state.trust.key("audit")

    def due() -> bool:
        return audit_heads.sign_due(state.store, key, epoch=1, now=fleet.clock.now)

    assert not due()
    did(fleet, "one")
    assert due()
    assert not due()
    did(fleet, "two")
    fleet.clock.now += 299
    assert not due()
    fleet.clock.now += 2
    assert due()
    fleet.clock.now += 3600
    assert not due(), "nothing came"


def test_an_export_is_checked_without_the_server(fleet: Fleet, tmp_path: Path) -> None:
    did(fleet, "one", "two", "three")
    head(fleet)
    file = tmp_path / "audit.jsonl"
    assert limosa("audit", "export", file) == 0
    assert limosa("audit", "verify", file) == 0
    lines = file.read_text().splitlines()
    tampered = json.loads(lines[2])
    tampered["entry"]["actor"] = "nobody"
    file.write_text("\n".join([*lines[:2], json.dumps(tampered), *lines[3:]]) + "\n")
    assert limosa("audit", "verify", file) == 5
    file.write_text("\n".join([*lines[:2], *lines[3:]]) + "\n")
    assert limosa("audit", "verify", file) == 5, "an entry was taken out"


@pytest.mark.both_databases
def test_a_history_that_was_rewritten_whole_is_proven_by_one_kept_head(
    fleet: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    did(fleet, "one", "two", "three")
    kept = tmp_path / "heads.txt"
    kept.write_text(head(fleet) + "\n")
    assert limosa("audit", "verify", "--heads", kept) == 0
    rewrite(fleet, 2)
    with fleet.state.store.transaction() as tx:  # and the heads that the server has are signed anew
        tx.execute(delete(AuditHeadRow))
    head(fleet)
    said = fleet.http.get("/api/v1/audit/verify", headers=fleet.headers()).json()
    assert said["intact"], "by itself the new history holds together"
    capsys.readouterr()
    assert limosa("audit", "verify", "--heads", kept) == 5
    assert "history was rewritten" in capsys.readouterr().err


def test_entries_that_were_cut_off_at_the_end_are_missed(fleet: Fleet, tmp_path: Path) -> None:
    did(fleet, "one", "two", "three")
    kept = tmp_path / "heads.txt"
    kept.write_text(head(fleet) + "\n")
    with fleet.state.store.transaction() as tx:
        tx.execute(delete(AuditRow).where(col(AuditRow.seq) > 2))
        tx.execute(delete(AuditHeadRow))
    assert limosa("audit", "verify") == 0
    assert limosa("audit", "verify", "--heads", kept) == 5


def test_a_head_of_another_key_is_not_believed(fleet: Fleet, tmp_path: Path) -> None:
    did(fleet, "one")
    head(fleet)
    file, key = tmp_path / "audit.jsonl", tmp_path / "other.pub"
    assert limosa("audit", "export", file) == 0
    key.write_bytes(fleet.state.trust.key("director").public.pem())
    assert limosa("audit", "verify", file, "--key", key) == 5


def test_devices_are_sent_the_head_when_their_document_changes(fleet: Fleet, tmp_path: Path) -> None:
    device = DeviceSide(fleet, tmp_path)
    did(fleet, "one")
    signed = head(fleet)
    sent = DesiredState.parse(Envelope.parse(device.document(), max_bytes=65536).payload).audit_head
    assert sent == signed
    last = AuditHead.verify(sent, [fleet.state.trust.key("audit").public])
    with fleet.state.store.read() as tx:
        assert tx.get_one(AuditRow, last.seq).hash == last.hash
    device.close()


def test_the_servers_own_check_names_the_first_entry_that_was_changed(fleet: Fleet) -> None:
    did(fleet, "one", "two", "three")
    with fleet.state.store.transaction() as tx:
        tx.execute(update(AuditRow).where(col(AuditRow.seq) == 2).values(actor="nobody"))
    said = fleet.http.get("/api/v1/audit/verify", headers=fleet.headers()).json()
    assert (said["intact"], said["first_break"]) == (False, 2)
    assert limosa("audit", "verify") == 5

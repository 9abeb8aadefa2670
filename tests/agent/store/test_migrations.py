"""The state database over versions of the agent: migrated, and still opened by the agent one step back."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from limosa_agent.errors import StateTooNew
from limosa_agent.store.holds import Hold, Holds
from limosa_agent.store.journal import Journal
from limosa_agent.store.moment import Moment
from limosa_agent.store.state_db import ASIDE_MAX, FILE, MIGRATIONS, StateDb, oldest_reader, set_aside
from limosa_agent.update.state import SHADOW, Bad, Facts, ModelState
from limosa_contracts.phases import Phase
from tests.agent.update.test_machine import committed, release

MODEL = "demo/motion"
FIRST_SCHEMA = """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE models (model TEXT PRIMARY KEY, phase TEXT NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE quarantine (
        model TEXT NOT NULL, manifest_sha256 TEXT NOT NULL, index_sha256 TEXT NOT NULL,
        reason TEXT NOT NULL, ord INTEGER NOT NULL, PRIMARY KEY (model, manifest_sha256)
    ) WITHOUT ROWID;
    CREATE TABLE desired (
        one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, counter INTEGER NOT NULL,
        digest TEXT NOT NULL, envelope BLOB NOT NULL
    );
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, suffix TEXT NOT NULL, key TEXT NOT NULL,
        payload BLOB NOT NULL, rev INTEGER NOT NULL DEFAULT 0, fresh INTEGER NOT NULL DEFAULT 0
    );
    CREATE UNIQUE INDEX outbox_key ON outbox (suffix, key);
    CREATE TABLE open_windows (key TEXT PRIMARY KEY, payload BLOB NOT NULL) WITHOUT ROWID;
"""
"""As the first agents made it; never to be changed."""
FIRST_PHASES = tuple(phase.value for phase in Phase if phase not in (Phase.REMOVING, Phase.REMOVED))
FIRST_DOCUMENT: dict[str, Any] = {
    "target": {
        "version": "1.0.0", "index_sha256": release(1).index_sha256, "rollout": "r0", "attempt": 1,
        "mode": "active", "windowed": False, "permit": None,
        "trial": {
            "inferences": 100, "seconds": 120.0, "max_seconds": 3600.0, "max_error_ratio": 0.02,
            "max_latency_ratio": 2.0, "max_class_distance": 0.5, "commit_needs_link": False,
        },
    },
    "candidate": None,
    "active": release(1).as_json(),
    "previous": None,
    "tries": 0,
    "transitions": 5,
    "committed_counter": 1,
    "reason": {"code": "healthy", "message": "", "evidence": {}},
}  # fmt: skip


def first_agents_database(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    connection = sqlite3.connect(folder / FILE)
    connection.executescript(f"{FIRST_SCHEMA}; PRAGMA user_version = 1;")
    connection.execute("INSERT INTO models VALUES (?, 'COMMITTED', ?)", (MODEL, json.dumps(FIRST_DOCUMENT)))
    connection.execute("INSERT INTO quarantine VALUES (?, ?, ?, 'bad', 0)", (MODEL, "a" * 64, "b" * 64))
    connection.commit()
    connection.close()


def first_agent_reads(folder: Path) -> dict[str, tuple[str, dict[str, object]]]:
    """What the first agents do with a database: refuse a newer one, else read, and write what they know."""
    connection = sqlite3.connect(folder / FILE)
    assert connection.execute("PRAGMA user_version").fetchone()[0] <= 1, "refused as too new"
    found = {}
    for model, phase, text in connection.execute("SELECT model, phase, document FROM models").fetchall():
        assert phase in FIRST_PHASES, f"the journal is corrupt: {phase}"
        team, _, name = model.partition("/")
        assert team.isalnum()
        assert name.isalnum(), "no model's name"
        document = json.loads(text)
        if document["target"] is not None:
            assert set(FIRST_DOCUMENT["target"]) <= set(document["target"])
            assert isinstance(document["target"]["windowed"], bool)
        assert set(FIRST_DOCUMENT) <= set(document)
        kept = {name: document[name] for name in FIRST_DOCUMENT}  # it forgets what it does not know
        connection.execute("INSERT OR REPLACE INTO models VALUES (?, ?, ?)", (model, phase, json.dumps(kept)))
        found[model] = (phase, kept)
    for row in connection.execute("SELECT * FROM quarantine").fetchall():
        connection.execute("INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?, ?)", row)
    connection.commit()
    connection.close()
    return found


def test_first_agents_database_is_migrated_and_keeps_what_it_held(tmp_path: Path) -> None:
    first_agents_database(tmp_path)
    db = StateDb.open(tmp_path)
    state = Journal(db).load()[MODEL]
    assert (state.phase, state.active, state.committed_counter) == (Phase.COMMITTED, release(1), 1)
    assert state.quarantine == (Bad(manifest_sha256="a" * 64, index_sha256="b" * 64, reason="bad"),)
    assert db.meta("schema") == str(len(MIGRATIONS))
    assert Journal(db).load_shadows() == {}
    db.close()
    StateDb.open(tmp_path).close()  # a second time changes nothing


def test_agent_one_step_back_opens_what_this_one_wrote_and_this_one_opens_it_again(tmp_path: Path) -> None:
    first_agents_database(tmp_path)
    db = StateDb.open(tmp_path)
    bad = Bad(manifest_sha256="a" * 64, index_sha256="b" * 64, reason="bad", until=2_000_000_000)
    facts = Facts(agent="1", capabilities_sha256="c", free_bytes=5)
    gone = replace(
        committed(1),
        model="demo/gone",
        phase=Phase.REMOVED,
        active=None,
        quarantine=(bad,),
        refused_under=facts,
    )
    shadow = ModelState(model=MODEL, lane=SHADOW, phase=Phase.COMMITTED, active=release(2), quarantine=(bad,))
    since = Moment(boot="b", since_boot_s=1.0, wall=2.0, trusted=True)
    with db.transaction("given") as connection:
        for state in (committed(1), gone, shadow):
            Journal(db).save(state, connection=connection)
    Holds(db).put(Hold(scope="*", reason="why", since=since))
    assert Journal(db).load()["demo/gone"] == gone
    assert Journal(db).load_shadows() == {MODEL: shadow}
    db.close()

    found = first_agent_reads(tmp_path)
    assert found[MODEL][0] == "COMMITTED"
    assert found["demo/gone"][0] == "IDLE", "what it does not know, it does not serve"
    assert found["demo/gone"][1]["active"] is None

    db = StateDb.open(tmp_path)
    states = Journal(db).load()
    assert states[MODEL].active == release(1)
    assert states["demo/gone"].quarantine == (replace(bad, until=0),), "its end is reckoned anew"
    assert Journal(db).load_shadows() == {MODEL: shadow}
    assert [hold.scope for hold in Holds(db).now(since)] == ["*"]
    db.close()


def test_every_later_step_only_adds_tables_and_says_its_number() -> None:
    for number, script in enumerate(MIGRATIONS[1:], start=2):
        assert f"VALUES ('schema', '{number}')" in script
        assert not {"ALTER", "DROP", "DELETE", "UPDATE"} & set(script.upper().replace(";", " ").split())
    assert [oldest_reader(schema) for schema in (1, 2, 3)] == [1, 1, 2]
    assert MIGRATIONS[0].split() == FIRST_SCHEMA.split()


def test_database_of_two_steps_ahead_is_left_alone(tmp_path: Path) -> None:
    StateDb.open(tmp_path).close()
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(StateTooNew):
        StateDb.open(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


def test_database_of_one_step_ahead_is_used_as_it_is(tmp_path: Path) -> None:
    StateDb.open(tmp_path).close()
    connection = sqlite3.connect(tmp_path / FILE)
    later = len(MIGRATIONS) + 1
    connection.executescript(
        f"CREATE TABLE later (x); INSERT OR REPLACE INTO meta VALUES ('schema', '{later}');"
        f"PRAGMA user_version = {oldest_reader(later)};"
    )
    connection.close()
    db = StateDb.open(tmp_path)
    assert db.meta("schema") == str(later)
    db.close()


def test_a_disk_that_spoils_every_database_is_not_filled_with_them(tmp_path: Path) -> None:
    for number in range(3 * ASIDE_MAX):
        (tmp_path / FILE).write_bytes(b"damage %d" % number)
        set_aside(tmp_path)
    left = sorted(tmp_path.iterdir())
    assert len(left) == ASIDE_MAX
    assert left[0].read_bytes() == b"damage 0"

"""The state database at start: a corrupt one is set aside, and what is on disk serves (agent 2)."""

from __future__ import annotations

from limosa_agent.config import AgentConfig
from limosa_agent.errors import JournalCorrupt
from limosa_agent.fetch.paths import StatePaths
from limosa_agent.store.floor import FILE as FLOOR
from limosa_agent.store.journal import Journal
from limosa_agent.store.recovery import state_from_disk
from limosa_agent.store.state_db import StateDb, set_aside


def open_state(config: AgentConfig) -> tuple[StateDb, JournalCorrupt | None]:
    """The database; a corrupt one is set aside, and what is on disk serves (agent 2)."""
    try:
        db = StateDb.open(config.state_dir)
    except JournalCorrupt as error:
        set_aside(config.state_dir)
        return _made_again(config, StateDb.open(config.state_dir)), error
    try:
        known = Journal(db).load()
    except JournalCorrupt as error:
        db.close()
        set_aside(config.state_dir)
        return _made_again(config, StateDb.open(config.state_dir)), error
    if not known and _leaves_traces(config):
        lost = JournalCorrupt("the state database was lost", where=str(config.state_dir))
        return _made_again(config, db), lost
    return db, None


def _leaves_traces(config: AgentConfig) -> bool:
    """Whether models were here. Of one that was taken away only its counter is left (trust 2.4)."""
    models = StatePaths(config.state_dir).models
    return any(any(models.glob(f"*/*/{name}")) for name in ("current", FLOOR))


def _made_again(config: AgentConfig, db: StateDb) -> StateDb:
    journal = Journal(db)
    with db.transaction("made again") as connection:
        for state in state_from_disk(StatePaths(config.state_dir).models):
            journal.save(state, connection=connection)
    return db

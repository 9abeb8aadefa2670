"""What the update machines know, in the state database: models, quarantine, the desired state."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from limosa_agent.errors import JournalCorrupt
from limosa_agent.link.desired_gate import AcceptedDesired
from limosa_agent.store.state_db import StateDb
from limosa_agent.update.actions import Report
from limosa_agent.update.state import ACTIVE, SHADOW, Bad, Facts, ModelState, Release, Target
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import LimosaError
from limosa_contracts.event import Reason
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.phases import Phase

LATER_PHASES: Final = (Phase.REMOVING, Phase.REMOVED)
"""The agent one step back does not know them: to it, such a model is IDLE."""
_PHASES: Final = tuple(phase.value for phase in Phase)


class Journal:
    """Tables as the agent one step back knows them: what it does not, stands in the document only."""

    def __init__(self, db: StateDb) -> None:
        self._db = db

    def load(self) -> dict[str, ModelState]:
        """The state of every model's lane that answers. Raises JournalCorrupt."""
        bad: dict[str, list[Bad]] = {}
        for model, manifest, index, reason in self._db.query(
            "SELECT model, manifest_sha256, index_sha256, reason FROM quarantine ORDER BY ord"
        ):
            entry = Bad(manifest_sha256=str(manifest), index_sha256=str(index), reason=str(reason))
            bad.setdefault(str(model), []).append(entry)
        states: dict[str, ModelState] = {}
        for model, phase, document in self._db.query("SELECT model, phase, document FROM models"):
            name = str(model)
            states[name] = _parse(name, ACTIVE, str(phase), str(document), bad.get(name, []))
        return states

    def load_shadows(self) -> dict[str, ModelState]:
        """The state of every model's lane that runs beside. Raises JournalCorrupt."""
        return {
            str(model): _parse(str(model), SHADOW, str(phase), str(document), None)
            for model, phase, document in self._db.query("SELECT model, phase, document FROM shadows")
        }

    def save(self, state: ModelState, *, connection: sqlite3.Connection) -> None:
        """Within the caller's transaction."""
        if state.is_shadow:
            connection.execute(
                "INSERT OR REPLACE INTO shadows VALUES (?, ?, ?)",
                (state.model, state.phase.value, _encode(state)),
            )
            return
        phase = Phase.IDLE if state.phase in LATER_PHASES else state.phase
        connection.execute(
            "INSERT OR REPLACE INTO models VALUES (?, ?, ?)", (state.model, phase.value, _encode(state))
        )
        connection.execute("DELETE FROM quarantine WHERE model = ?", (state.model,))
        connection.executemany(
            "INSERT INTO quarantine VALUES (?, ?, ?, ?, ?)",
            [
                (state.model, bad.manifest_sha256, bad.index_sha256, bad.reason, number)
                for number, bad in enumerate(state.quarantine)
            ],
        )

    def forget(self, state: ModelState, *, connection: sqlite3.Connection) -> None:
        table = "shadows" if state.is_shadow else "models"
        connection.execute(f"DELETE FROM {table} WHERE model = ?", (state.model,))  # noqa: S608  one of two words

    def desired(self) -> AcceptedDesired | None:
        rows = self._db.query("SELECT epoch, counter, digest, envelope FROM desired")
        if not rows:
            return None
        epoch, counter, digest, envelope = rows[0]
        assert isinstance(epoch, int)
        assert isinstance(counter, int)
        assert isinstance(envelope, bytes)
        return AcceptedDesired(epoch=epoch, counter=counter, digest=str(digest), envelope=envelope)

    def save_desired(self, accepted: AcceptedDesired) -> None:
        with self._db.transaction("desired") as connection:
            connection.execute(
                "INSERT OR REPLACE INTO desired VALUES (1, ?, ?, ?, ?)",
                (accepted.epoch, accepted.counter, accepted.digest, accepted.envelope),
            )


def reports_of(actions: Sequence[object]) -> list[Report]:
    return [action for action in actions if isinstance(action, Report)]


def _encode(state: ModelState) -> str:
    document: dict[str, JsonValue] = {
        "target": state.target.as_json() if state.target else None,
        "candidate": state.candidate.as_json() if state.candidate else None,
        "active": state.active.as_json() if state.active else None,
        "previous": state.previous.as_json() if state.previous else None,
        "tries": state.tries,
        "transitions": state.transitions,
        "committed_counter": state.committed_counter,
        "reason": {
            "code": state.reason.code,
            "message": state.reason.message,
            "evidence": state.reason.evidence,
        },
        "refused_under": state.refused_under.as_json() if state.refused_under else None,
        "quarantine_until": {bad.manifest_sha256: bad.until for bad in state.quarantine if bad.until},
    }
    if state.phase in LATER_PHASES:
        document["phase"] = state.phase.value
    if state.is_shadow:
        document["quarantine"] = [
            {"manifest_sha256": b.manifest_sha256, "index_sha256": b.index_sha256, "reason": b.reason}
            for b in state.quarantine
        ]
    return encode_canonical(document).decode()


def _parse(model: str, lane: str, phase: str, document: str, bad: Sequence[Bad] | None) -> ModelState:
    """`bad`: the quarantine from its own table; None where it stands in the document."""
    try:
        fields = Fields(parse_object(document.encode(), what="journal"), where=f"models[{model}]")
        phase = fields.optional("phase", lambda n: fields.text(n, max_chars=64), phase)
        if phase not in _PHASES:
            raise fields.wrong("phase", f"{phase!r} is no phase")

        def release(name: str) -> Release:
            return Release.parse(fields.fields(name))

        reason = fields.fields("reason")
        return ModelState(
            model=model,
            lane=lane,
            phase=Phase(phase),
            target=fields.maybe("target", lambda n: Target.parse(fields.fields(n))),
            candidate=fields.maybe("candidate", release),
            active=fields.maybe("active", release),
            previous=fields.maybe("previous", release),
            tries=fields.integer("tries", low=0),
            transitions=fields.integer("transitions", low=0),
            committed_counter=fields.integer("committed_counter", low=0),
            reason=Reason(
                code=reason.text("code", empty=True),
                message=reason.text("message", empty=True),
                evidence=reason.object("evidence"),
            ),
            quarantine=_with_expiry(_listed(fields) if bad is None else bad, fields),
            refused_under=fields.maybe("refused_under", lambda n: Facts.parse(fields.fields(n))),
        )
    except LimosaError as error:
        raise JournalCorrupt("a model's state cannot be read", where=model, why=str(error)) from error


def _listed(fields: Fields) -> list[Bad]:
    found = []
    for place, item in fields.items("quarantine"):
        one = Fields(item, where=place)
        found.append(
            Bad(
                manifest_sha256=one.text("manifest_sha256"),
                index_sha256=one.text("index_sha256"),
                reason=one.text("reason", empty=True),
            )
        )
    return found


def _with_expiry(bad: Sequence[Bad], fields: Fields) -> tuple[Bad, ...]:
    """Expiries stand in the document: the table of the first schema has no column for them."""
    nothing: JsonObject = {}
    until = fields.optional("quarantine_until", fields.object, nothing)

    def expiry(manifest: str) -> int:
        value = until.get(manifest)
        return value if isinstance(value, int) else 0

    return tuple(replace(entry, until=expiry(entry.manifest_sha256)) for entry in bad)

"""From staging to production and on to the archive: gated, and written down (server 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func
from sqlmodel import col, select

from limosa_contracts.names import ReleaseName
from limosa_server.access import audit
from limosa_server.core.errors import GateNotPassed
from limosa_server.core.lifecycle.gates import (
    DEFAULT,
    Checked,
    DevicesFor,
    PromotionFacts,
    Rule,
    check,
    parse_rules,
    rules_json,
    scope_for,
)
from limosa_server.core.lifecycle.stages import Stage, check_move
from limosa_server.core.rollout import SHADOW, RolloutStatus
from limosa_server.registry import evidence, release_rows, running
from limosa_server.registry.blobs import Blobs
from limosa_server.store import Transaction
from limosa_server.tables.alerts import DeviceTrouble
from limosa_server.tables.lifecycle import PromotionGateRow, ReleaseDevice
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import RolloutRow

SERVER = "server"


def move(
    tx: Transaction,
    blobs: Blobs,
    name: ReleaseName,
    stage: Stage,
    *,
    at: float,
    actor: str,
    reason: str,
    override: bool = False,
) -> tuple[Release, tuple[Checked, ...]]:
    """Raises NotFound, Conflict, GateNotPassed; `override` passes a gate by name, and the record says so.

    Moving to where it is already changes nothing.
    """
    row = release_rows.find(tx, name)
    if row.stage == stage.value:
        return row, ()
    before = Stage(row.stage)
    check_move(before, stage, name=str(name), delisted=row.delisted, retracted=row.retracted_at is not None)
    checked = gate(tx, blobs, row, at=at) if stage is Stage.PRODUCTION else ()
    missing = [one for one in checked if not one.passed]
    if missing and not override:
        raise GateNotPassed(
            f"{name} has not shown what production asks for",
            where=str(name),
            why="; ".join(one.words for one in missing),
        )
    _write(tx, row, stage, at=at, actor=actor, reason=reason, overridden=[one.rule for one in missing])
    return row, checked


def promote_if_shown(tx: Transaction, blobs: Blobs, row: Release, *, at: float, rollout: int) -> bool:
    """After a rollout of it has completed: to production, if that is all that its gate asks for."""
    if row.stage != Stage.STAGING.value or row.retracted_at is not None or row.delisted:
        return False
    checked = gate(tx, blobs, row, at=at, completing=True)
    if not all(one.passed for one in checked):
        return False
    reason = f"rollout {rollout} has completed"
    _write(tx, row, Stage.PRODUCTION, at=at, actor=SERVER, reason=reason, overridden=[])
    return True


def gate(
    tx: Transaction, blobs: Blobs, row: Release, *, at: float, completing: bool = False
) -> tuple[Checked, ...]:
    """What its gate asks for, and whether it has been shown. `completing`: a rollout is about to."""
    rules = rules_of(tx, row.model)[1]
    return check(rules, _facts(tx, blobs, row, rules, at=at, completing=completing))


def rules_of(tx: Transaction, model: str) -> tuple[str, tuple[Rule, ...]]:
    """(the scope that sets them, the rules) of `team/model`."""
    rows = {row.scope: row for row in tx.exec(select(PromotionGateRow))}
    scope = scope_for(list(rows), model)
    if scope not in rows:
        return scope, DEFAULT
    return scope, parse_rules(rows[scope].rules, where=f"gate {scope}")


def every_gate(tx: Transaction) -> list[PromotionGateRow]:
    """Scopes with rules of their own, by name."""
    return list(tx.exec(select(PromotionGateRow).order_by(col(PromotionGateRow.scope))))


def set_rules(tx: Transaction, scope: str, rules: Sequence[Rule] | None, *, at: float, actor: str) -> None:
    """None takes the scope's own rules away, so that the wider ones hold."""
    row = tx.get(PromotionGateRow, scope)
    before = list(row.rules) if row is not None else None
    after = None if rules is None else [dict(one) for one in rules_json(rules)]
    if after is None:
        if row is not None:
            tx.delete(row)
    else:
        row = row or PromotionGateRow(scope=scope, updated_at=at, updated_by=actor)
        row.rules, row.updated_at, row.updated_by = after, at, actor
        tx.add(row)
    audit.record(
        tx, at=at, actor=actor, action="release.gate", object=f"gate {scope}",
        before={"rules": before}, after={"rules": list(after) if after is not None else None},
    )  # fmt: skip


def _write(
    tx: Transaction, row: Release, stage: Stage, *, at: float, actor: str, reason: str, overridden: list[str]
) -> None:
    before, row.stage = row.stage, stage.value
    tx.add(row)
    release_rows.note(tx, row, stage.value, at=at, by=actor, reason=reason)
    audit.record(
        tx, at=at, actor=actor, action=f"release.{stage.value}",
        object=f"release {release_rows.name_of(row)}",
        before={"stage": before},
        after={"stage": stage.value, "reason": reason, "gate_overridden": list(overridden)},
    )  # fmt: skip
    tx.announce("releases")


def _facts(
    tx: Transaction, blobs: Blobs, row: Release, rules: Sequence[Rule], *, at: float, completing: bool
) -> PromotionFacts:
    completed = tx.exec(
        select(func.count())
        .select_from(RolloutRow)
        .where(
            RolloutRow.index_sha256 == row.index_sha256,
            RolloutRow.status == RolloutStatus.COMPLETED.value,
            RolloutRow.lane != SHADOW,  # nobody got an answer of it, and no device has committed it
        )
    ).one()
    wants_evidence = any(rule.name == "evidence" for rule in rules)
    why = evidence.why_not(evidence.of_release(tx, blobs, row)) if wants_evidence else ""
    troubled = tx.exec(
        select(func.count(func.distinct(col(DeviceTrouble.device)))).where(
            DeviceTrouble.model == row.model, DeviceTrouble.version == row.version
        )
    ).one()
    return PromotionFacts(
        completed_rollouts=completed + completing,
        evidence_signed=not why,
        evidence_why=why,
        devices=running.counts(tx, [row.index_sha256]).get(row.index_sha256, 0),
        running_s=_running_s(tx, row, rules, at),
        troubled=troubled,
    )


def _running_s(tx: Transaction, row: Release, rules: Sequence[Rule], at: float) -> list[float]:
    asked = max((rule.devices for rule in rules if isinstance(rule, DevicesFor)), default=0)
    if not asked:
        return []
    query = (
        select(ReleaseDevice.since)
        .where(ReleaseDevice.index_sha256 == row.index_sha256)
        .order_by(col(ReleaseDevice.since))
        .limit(asked)
    )
    return [at - since for since in tx.exec(query)]

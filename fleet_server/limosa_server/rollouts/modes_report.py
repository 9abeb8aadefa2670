"""The report of a rollout that holds two releases, from what their windows said (rollouts 6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from sqlalchemy import func
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from limosa_contracts.errors import Conflict, LimosaError
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.modes import AbTest
from limosa_contracts.shadow import ShadowSketch
from limosa_server.core.modes.ab_report import report
from limosa_server.core.modes.agreement import judge_agreement
from limosa_server.core.modes.arms import CHALLENGER, CHAMPION
from limosa_server.core.modes.effect import DeviceValues
from limosa_server.core.rollout import Rollout, RolloutStatus
from limosa_server.rollouts import modes_facts
from limosa_server.rollouts.rollout_rows import rollout_of
from limosa_server.store import Transaction
from limosa_server.tables.modes import ArmRow, KpiWindowRow, ShadowWindowRow
from limosa_server.tables.rollouts import DecisionRow, RolloutRow, WaveRow

SCHEMA: Final = "limosa.rollout_report/1"
THROUGH: Final = "through"  # the kind of the decision that a wave is
SKETCHES_MAX: Final = 5000  # windows whose sketch of disagreement is added up, the newest first
PAIRS_TOLD: Final = 10


def report_of(tx: Transaction, row: RolloutRow, *, now: float) -> dict[str, JsonValue]:
    """Raises Conflict for a rollout that simply replaces."""
    rollout = rollout_of(row)
    said: dict[str, JsonValue] = {
        "schema": SCHEMA,
        "rollout": rollout.id,
        "mode": rollout.spec.mode.value,
        "model": row.model,
        "challenger": row.version,
        "status": rollout.status.value,
    }
    if rollout.spec.modes.ab is not None:
        return {**said, **_comparison(tx, row, rollout, rollout.spec.modes.ab, now)}
    if rollout.spec.modes.shadow is not None:
        return {**said, **_shadow(tx, rollout)}
    raise Conflict(
        "a rollout that replaces a version has no report",
        where=f"rollout {rollout.id}",
        why='only mode = "shadow" and mode = "ab" hold two releases side by side',
        hint=f"limosa rollout status {rollout.id}",
    )


def held_since(tx: Transaction, rollout: int) -> float | None:
    """Since when every wave but the tail is through, so that both releases are held; None before."""
    last = select(func.max(WaveRow.index)).where(WaveRow.rollout == rollout, col(WaveRow.tail).is_(False))
    return tx.exec(
        select(DecisionRow.at)
        .where(
            DecisionRow.rollout == rollout,
            DecisionRow.kind == THROUGH,
            DecisionRow.wave == last.scalar_subquery(),
        )
        .order_by(col(DecisionRow.id))
    ).first()


def _comparison(
    tx: Transaction, row: RolloutRow, rollout: Rollout, test: AbTest, now: float
) -> dict[str, JsonValue]:
    arms = {one.device: one for one in tx.exec(select(ArmRow).where(ArmRow.rollout == rollout.id)).all()}
    until = now if row.ended_at is None else min(now, row.ended_at)
    since = held_since(tx, rollout.id)
    left = test.duration_s if since is None else max(0.0, test.duration_s - (until - since))
    over = left <= 0 or rollout.status is RolloutStatus.COMPLETED
    champions = Counter(one.version for one in arms.values() if one.arm == CHAMPION)
    champion = test.against or ", ".join(sorted(champions)) or "what ran before"
    values = {
        rule.name: _values(
            tx, rollout, arms, rule.name, since=since if since is not None else now, until=until
        )
        for rule in test.kpis
    }
    found = report(
        test,
        values,
        arms={arm: sum(one.arm == arm for one in arms.values()) for arm in (CHAMPION, CHALLENGER)},
        champion=champion,
        challenger=row.version,
        left_s=0.0 if over else max(left, 1.0),
    )
    return {
        **found.as_json(),
        "champion": champion,
        "held_since": since,
        "left_s": 0.0 if over else left,
        "reported": _reported(tx, row.model, arms, since=since if since is not None else now),
    }


def _values(
    tx: Transaction,
    rollout: Rollout,
    arms: Mapping[str, ArmRow],
    kpi: str,
    *,
    since: float,
    until: float,
) -> list[DeviceValues]:
    """Only what a device said while it ran what its arm runs, in the same hours in both arms."""
    model = str(rollout.spec.release.name)
    rows = tx.execute(
        select_columns(
            col(KpiWindowRow.device),
            col(KpiWindowRow.version),
            func.sum(col(KpiWindowRow.n)),
            func.sum(col(KpiWindowRow.total)),
            func.sum(col(KpiWindowRow.squares)),
        )
        .join(ArmRow, col(ArmRow.device) == col(KpiWindowRow.device))
        .where(
            col(ArmRow.rollout) == rollout.id,
            col(KpiWindowRow.model) == model,
            col(KpiWindowRow.kpi) == kpi,
            col(KpiWindowRow.received_at) >= since,
            col(KpiWindowRow.received_at) <= until,
        )
        .group_by(col(KpiWindowRow.device), col(KpiWindowRow.version))
        .order_by(col(KpiWindowRow.device))
    ).all()
    before = _before(tx, rollout, model, kpi)
    result: list[DeviceValues] = []
    for device, version, n, total, squares in rows:
        drawn = arms[device]
        wanted = drawn.version if drawn.arm == CHAMPION else rollout.spec.release.version
        if version == wanted and n:
            result.append(
                DeviceValues(
                    device=device,
                    arm=drawn.arm,
                    n=int(n),
                    total=float(total),
                    squares=float(squares),
                    before=before.get(device),
                )
            )
    return result


def _before(tx: Transaction, rollout: Rollout, model: str, kpi: str) -> dict[str, float]:
    """The mean of each device before it was drawn, with the version that it ran then."""
    started = rollout.started_at if rollout.started_at is not None else rollout.since
    rows = tx.execute(
        select_columns(
            col(KpiWindowRow.device), func.sum(col(KpiWindowRow.n)), func.sum(col(KpiWindowRow.total))
        )
        .join(
            ArmRow,
            (col(ArmRow.device) == col(KpiWindowRow.device))
            & (col(ArmRow.version) == col(KpiWindowRow.version)),
        )
        .where(
            col(ArmRow.rollout) == rollout.id,
            col(KpiWindowRow.model) == model,
            col(KpiWindowRow.kpi) == kpi,
            col(KpiWindowRow.received_at) < started,
        )
        .group_by(col(KpiWindowRow.device))
    ).all()
    return {device: float(total) / int(n) for device, n, total in rows if n}


def _reported(
    tx: Transaction, model: str, arms: Mapping[str, ArmRow], *, since: float
) -> dict[str, JsonValue]:
    """KPI -> values that came of devices of the comparison, whatever the file asks for: a name that is
    written differently in the application and in the file shows here."""
    if not arms:
        return {}
    rollout = next(iter(arms.values())).rollout
    rows = tx.execute(
        select_columns(col(KpiWindowRow.kpi), func.sum(col(KpiWindowRow.n)))
        .join(ArmRow, col(ArmRow.device) == col(KpiWindowRow.device))
        .where(
            col(ArmRow.rollout) == rollout,
            col(KpiWindowRow.model) == model,
            col(KpiWindowRow.received_at) >= since,
        )
        .group_by(col(KpiWindowRow.kpi))
        .order_by(col(KpiWindowRow.kpi))
    ).all()
    return {kpi: int(n) for kpi, n in rows}


def _shadow(tx: Transaction, rollout: Rollout) -> dict[str, JsonValue]:
    assert rollout.spec.modes.shadow is not None
    seen = modes_facts.seen(tx, rollout)
    verdict, decision = judge_agreement(rollout.spec.modes.shadow, seen, wave=-1, name="all")
    numbers = {name: value for name, value in decision.numbers.items() if name != "wave"}
    sketch = _sketch(tx, rollout)
    worst = sorted(seen, key=lambda one: (-(one.disagreed / max(1, one.compared)), one.device))
    return {
        "advice": verdict.value.lower(),
        "sentence": decision.sentence.removeprefix("wave all: "),
        **numbers,
        "by_confidence": {"compared": list(sketch.compared), "disagreed": list(sketch.disagreed)},
        "pairs": [
            {"answered": ours, "challenger": theirs, "rows": rows}
            for (ours, theirs), rows in sorted(sketch.pairs.items(), key=lambda one: (-one[1], one[0]))[
                :PAIRS_TOLD
            ]
        ],
        "most_disagreement": [
            {"device": one.device, "compared": one.compared, "disagreed": one.disagreed}
            for one in worst[:PAIRS_TOLD]
            if one.disagreed
        ],
    }


def _sketch(tx: Transaction, rollout: Rollout) -> ShadowSketch:
    rows = tx.execute(
        select_columns(col(ShadowWindowRow.sketch))
        .where(
            col(ShadowWindowRow.model) == str(rollout.spec.release.name),
            col(ShadowWindowRow.version) == rollout.spec.release.version,
        )
        .order_by(col(ShadowWindowRow.received_at).desc())
        .limit(SKETCHES_MAX)
    ).all()
    total = ShadowSketch()
    for (said,) in rows:
        if not said:
            continue
        try:
            total = total.plus(ShadowSketch.parse(Fields(said, where="sketch")))
        except LimosaError:  # written by another version of the server
            continue
    return total

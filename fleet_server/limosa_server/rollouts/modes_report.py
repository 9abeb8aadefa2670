"""The report of a rollout that holds two releases, from what their windows said (rollouts 6)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Float, Text, cast, func
from sqlalchemy import select as select_columns
from sqlmodel import col

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
from limosa_server.rollouts.shadow_windows import ROLLOUT
from limosa_server.store import Transaction
from limosa_server.tables.modes import ArmKpiRow, ArmRow, ShadowWindowRow
from limosa_server.tables.rollouts import RolloutRow

SCHEMA: Final = "limosa.rollout_report/1"
SKETCHES_MAX: Final = 500  # windows whose sketch of disagreement is added up, the newest first
PAIRS_TOLD: Final = 10
_NOTHING: Final[Mapping[str, object]] = {}


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


def _comparison(
    tx: Transaction, row: RolloutRow, rollout: Rollout, test: AbTest, now: float
) -> dict[str, JsonValue]:
    drawn = tx.execute(
        select_columns(col(ArmRow.arm), col(ArmRow.version), func.count())
        .where(col(ArmRow.rollout) == rollout.id)
        .group_by(col(ArmRow.arm), col(ArmRow.version))
    ).all()
    arms = {arm: sum(count for one, _, count in drawn if one == arm) for arm in (CHAMPION, CHALLENGER)}
    until = now if row.ended_at is None else min(now, row.ended_at)
    since = modes_facts.held_since(tx, rollout.id)
    left = test.duration_s if since is None else max(0.0, test.duration_s - (until - since))
    over = left <= 0 or rollout.status is RolloutStatus.COMPLETED
    champions = {version for arm, version, _ in drawn if arm == CHAMPION}
    champion = test.against or ", ".join(sorted(champions)) or "what ran before"
    members = _drawn(tx, rollout.id)
    values = {rule.name: _values(tx, rollout.id, rule.name, members) for rule in test.kpis}
    found = report(
        test,
        values,
        arms=arms,
        champion=champion,
        challenger=row.version,
        left_s=0.0 if over else max(left, 1.0),
    )
    return {
        **found.as_json(),
        "champion": champion,
        "held_since": since,
        "left_s": 0.0 if over else left,
        "reported": values_reported(tx, rollout.id),
    }


def _drawn(tx: Transaction, rollout: int) -> dict[str, tuple[str, Mapping[str, object]]]:
    """Device -> its arm, and what it said before it was drawn; read once for all KPIs. Below the session,
    and one row after the other: in a large fleet the rows would cost more than the numbers in them."""
    rows = tx.connection().execute(
        select_columns(col(ArmRow.device), col(ArmRow.arm), cast(col(ArmRow.before), Text)).where(
            col(ArmRow.rollout) == rollout
        )
    )
    return {device: (arm, _NOTHING if before == "{}" else json.loads(before)) for device, arm, before in rows}


def _values(
    tx: Transaction, rollout: int, kpi: str, drawn: Mapping[str, tuple[str, Mapping[str, object]]]
) -> list[DeviceValues]:
    rows = tx.connection().execute(
        select_columns(col(ArmKpiRow.device), col(ArmKpiRow.n), col(ArmKpiRow.total), col(ArmKpiRow.squares))
        .where(col(ArmKpiRow.rollout) == rollout, col(ArmKpiRow.kpi) == kpi, col(ArmKpiRow.n) > 0)
        .order_by(col(ArmKpiRow.device))
    )
    return [
        DeviceValues(
            device=device,
            arm=drawn[device][0],
            n=n,
            total=total,
            squares=squares,
            before=_mean(drawn[device][1].get(kpi)),
        )
        for device, n, total, squares in rows
        if device in drawn
    ]


def _mean(before: object) -> float | None:
    """Of what the device said before it was drawn: [values, their sum]."""
    if not isinstance(before, (list, tuple)) or len(before) != 2 or not before[0]:
        return None
    return float(before[1]) / float(before[0])


def values_reported(tx: Transaction, rollout: int) -> dict[str, JsonValue]:
    """KPI -> values that came of devices of the comparison, whatever the file asks for: a name that is
    written differently in the application and in the file shows here. Added up as doubles: what liars count
    beyond 63 bits is an error of whole numbers' sums."""
    rows = tx.execute(
        select_columns(col(ArmKpiRow.kpi), func.sum(cast(col(ArmKpiRow.n), Float)))
        .where(col(ArmKpiRow.rollout) == rollout)
        .group_by(col(ArmKpiRow.kpi))
        .order_by(col(ArmKpiRow.kpi))
    ).all()
    return {kpi: int(n) for kpi, n in rows}


def _shadow(tx: Transaction, rollout: Rollout) -> dict[str, JsonValue]:
    assert rollout.spec.modes.shadow is not None
    seen = modes_facts.moments(tx, rollout)
    verdict, decision = judge_agreement(rollout.spec.modes.shadow, seen, wave=-1, name="all")
    numbers = {name: value for name, value in decision.numbers.items() if name != "wave"}
    sketch = _sketch(tx, rollout)
    worst = modes_facts.worst(tx, rollout, limit=PAIRS_TOLD)
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
            {"device": one.device, "compared": one.compared, "disagreed": one.disagreed} for one in worst
        ],
    }


def _sketch(tx: Transaction, rollout: Rollout) -> ShadowSketch:
    """Of what was measured in it: the release may have been in the shadow before, or be there again."""
    rows = tx.execute(
        select_columns(col(ShadowWindowRow.sketch))
        .where(
            col(ShadowWindowRow.model) == str(rollout.spec.release.name),
            col(ShadowWindowRow.version) == rollout.spec.release.version,
            col(ShadowWindowRow.received_at) >= (rollout.started_at or 0.0),
            col(ShadowWindowRow.sketch)[ROLLOUT].as_integer() == rollout.id,
        )
        .order_by(col(ShadowWindowRow.received_at).desc())
        .limit(SKETCHES_MAX)
    ).all()
    total = ShadowSketch()
    for (kept,) in rows:
        said = {name: value for name, value in kept.items() if name != ROLLOUT}
        if not said:
            continue
        try:
            total = total.plus(ShadowSketch.parse(Fields(said, where="sketch")))
        except LimosaError:  # written by another version of the server
            continue
    return total

"""Known-bad memory: what the failures of a rollout have in common, worked out when they change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, and_
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from limosa_contracts.phases import Execution
from limosa_server.core.counts import Counts
from limosa_server.core.planning.known_bad import Finding
from limosa_server.core.planning.slices import Cell, common, sentence
from limosa_server.core.rollout import Pause, RolloutStatus
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device, DeviceLabel
from limosa_server.tables.planning import FindingRow
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow, WaveRow

AGAIN_AFTER_S: Final = 60.0  # while it runs; what stops it is looked at at once
REASONS_MAX: Final = 8
FAULTS: Final = tuple(state for state in Execution if state.failed and state is not Execution.TIMED_OUT)
"""What speaks against the release; a device that was slow or away does not."""
BAD_ENDS: Final = (
    RolloutStatus.FAILED,
    RolloutStatus.ROLLING_BACK,
    RolloutStatus.ROLLED_BACK,
    RolloutStatus.ROLLBACK_INCOMPLETE,
)
_KEPT: Final = (RolloutStatus.CANCELING, RolloutStatus.CANCELED, RolloutStatus.SUPERSEDED)


def keep(tx: Transaction, row: RolloutRow, counts: Counts, *, now: float) -> None:
    """Brings the finding of this rollout up to date; cheap while nothing new has failed."""
    failed = counts.of(*FAULTS)
    if failed == 0:
        return
    assert row.id is not None
    known = tx.get(FindingRow, row.id)
    bad = _speaks_against(row, known is not None and known.bad)
    if known is not None and known.bad != bad:
        known.bad = bad
        tx.add(known)
    stopped = row.status != RolloutStatus.RUNNING.value
    stale = known is None or known.failed != failed or (stopped and known.executed != counts.executed)
    if stale and (known is None or stopped or now - known.at >= AGAIN_AFTER_S):
        _write(tx, row, known, bad=bad, now=now)


def _speaks_against(row: RolloutRow, before: bool) -> bool:
    status = RolloutStatus(row.status)
    if status in _KEPT:
        return before
    return status in BAD_ENDS or (status is RolloutStatus.PAUSED and row.pause == Pause.GATE_FAILED.value)


def _write(tx: Transaction, row: RolloutRow, known: FindingRow | None, *, bad: bool, now: float) -> None:
    assert row.id is not None
    ran = _executed(tx, row.id)
    cells = _cells(ran)
    executed, failed = sum(cell.executed for cell in cells), sum(cell.failed for cell in cells)
    found = common(cells)
    values: dict[str, Any] = {
        "at": now,
        "failed": failed,
        "executed": executed,
        "terms": [list(term) for term in found.terms] if found else [],
        "slice_failed": found.failed if found else 0,
        "slice_executed": found.executed if found else 0,
        "p": found.p if found else 1.0,
        "profiles": sorted({one.traits["profile"] for one in ran if one.failed}),
        "reasons": [list(pair) for pair in _reasons(ran)],
        "sentence": sentence(found, failed=failed, executed=executed),
        "bad": bad,
    }
    about = known or FindingRow(
        rollout=row.id, model=row.model, version=row.version, index_sha256=row.index_sha256, **values
    )
    for name, value in values.items():
        setattr(about, name, value)
    tx.add(about)
    tx.announce(f"rollout {row.id}")


class _Ran:
    """One device that executed the release."""

    __slots__ = ("code", "failed", "traits")

    def __init__(self, traits: Mapping[str, str], *, failed: bool, code: str) -> None:
        self.traits, self.failed, self.code = traits, failed, code


def _executed(tx: Transaction, rollout: int) -> list[_Ran]:
    states = [state.value for state in Execution if state.succeeded or state in FAULTS]
    faults = {state.value for state in FAULTS}
    rows = tx.execute(
        select_columns(
            col(ExecutionRow.device),
            col(ExecutionRow.state),
            col(ExecutionRow.from_version),
            col(ExecutionRow.reason_code),
            col(Device.profile),
            col(Device.agent),
        )
        .join(Device, col(Device.id) == col(ExecutionRow.device))
        .where(col(ExecutionRow.rollout) == rollout, col(ExecutionRow.state).in_(states))
        .order_by(col(ExecutionRow.device))
    ).all()
    labels = _labels(tx, rollout, states)
    return [
        _Ran(
            traits_of(profile=profile, previous=before, agent=agent, labels=labels.get(device, {})),
            failed=state in faults,
            code=code,
        )
        for device, state, before, code, profile, agent in rows
    ]


def _labels(tx: Transaction, rollout: int, states: Sequence[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for device, key, value in tx.execute(
        select_columns(col(DeviceLabel.device), col(DeviceLabel.key), col(DeviceLabel.value))
        .join(ExecutionRow, col(ExecutionRow.device) == col(DeviceLabel.device))
        .where(col(ExecutionRow.rollout) == rollout, col(ExecutionRow.state).in_(states))
    ).all():
        found.setdefault(device, {})[key] = value
    return found


def traits_of(*, profile: str, previous: str, agent: str, labels: Mapping[str, str]) -> dict[str, str]:
    """What devices are compared by; the same at plan time as when the failures were looked at."""
    return {
        "profile": profile,
        "previous": previous,
        "agent": agent,
        **{f"label {key}": value for key, value in labels.items()},
    }


def _cells(ran: Sequence[_Ran]) -> list[Cell]:
    executed: Counter[tuple[tuple[str, str], ...]] = Counter()
    failed: Counter[tuple[tuple[str, str], ...]] = Counter()
    for one in ran:
        key = tuple(sorted(one.traits.items()))
        executed[key] += 1
        failed[key] += one.failed
    return [Cell(traits=dict(key), executed=executed[key], failed=failed[key]) for key in sorted(executed)]


def _reasons(ran: Sequence[_Ran]) -> list[tuple[str, int]]:
    counts = Counter(one.code for one in ran if one.failed)
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:REASONS_MAX]


def against(tx: Transaction, index_sha256: str, *, within: Any) -> list[Finding]:
    """What is remembered of these bytes, the newest first. `within`: a query for the devices that matter:
    of those where it failed, no others are named."""
    rows = tx.exec(
        select(FindingRow)
        .where(FindingRow.index_sha256 == index_sha256)
        .order_by(col(FindingRow.rollout).desc())
    ).all()
    return [finding_of(row, _failed_devices(tx, row, within) if row.bad else frozenset()) for row in rows]


def _failed_devices(tx: Transaction, row: FindingRow, within: Any) -> frozenset[str]:
    """Those that what is common to the failures does not cover; the others are ruled out by that."""
    waves = select(WaveRow.index).where(WaveRow.rollout == row.rollout)
    query = select_columns(col(ExecutionRow.device)).where(
        col(ExecutionRow.rollout) == row.rollout,
        col(ExecutionRow.wave).in_(waves),  # so that the index on what is where finds the few
        col(ExecutionRow.state).in_([state.value for state in FAULTS]),
        col(ExecutionRow.device).in_(within),
    )
    covered = _covered(row)
    if covered is not None:
        query = query.join(Device, col(Device.id) == col(ExecutionRow.device)).where(~covered)
    return frozenset(tx.connection().execute(query).scalars())


def _covered(row: FindingRow) -> ColumnElement[bool] | None:
    """Of a row of `devices`: whether the class that the finding names has it; None where other tables
    would have to tell."""
    columns = {"profile": col(Device.profile), "agent": col(Device.agent)}
    if any(name not in columns for name, _ in row.terms):
        return None
    if row.terms:
        return and_(*(columns[name] == value for name, value in row.terms))
    return col(Device.profile).in_(row.profiles)


def finding_of(row: FindingRow, devices: frozenset[str] = frozenset()) -> Finding:
    return Finding(
        rollout=row.rollout,
        version=row.version,
        terms=tuple((str(name), str(value)) for name, value in row.terms),
        profiles=tuple(row.profiles),
        failed=row.failed,
        executed=row.executed,
        sentence=row.sentence,
        bad=row.bad,
        devices=devices,
    )

"""Plans a rollout over what the database holds, and writes it down (rollouts 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import select

from limosa_contracts.errors import NotFound
from limosa_contracts.phases import Execution
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.planning.plan import Plan
from limosa_server.core.rollout import RolloutStatus, lane_of
from limosa_server.core.wave import WaveStatus
from limosa_server.registry.release_rows import check_offerable
from limosa_server.rollouts.cohort_rows import COLUMNS, cohort_rows, judge_columns
from limosa_server.rollouts.executions import CONTROLLER, Queued, queue, queued
from limosa_server.rollouts.shadow_lane import ARM_COLUMNS, arm_rows
from limosa_server.store import Transaction
from limosa_server.store.bulk import Insert
from limosa_server.tables.judging import CohortRow
from limosa_server.tables.modes import ArmRow
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import RolloutRow, WaveRow


def find_release(tx: Transaction, spec: RolloutSpec) -> Release:
    model, version = str(spec.release.name), spec.release.version
    release = tx.exec(select(Release).where(Release.model == model, Release.version == version)).first()
    if release is None:
        known = tx.exec(select(Release.version).where(Release.model == model)).all()
        raise NotFound(
            f"the server has no release {spec.release}",
            where="rollout.release",
            why=f"of {model} it has {', '.join(sorted(known))}" if known else f"it has none of {model}",
            hint="limosa release list",
        )
    check_offerable(release, where="rollout.release")
    return release


def check_way_back(tx: Transaction, spec: RolloutSpec) -> None:
    """A version to go back to that does not exist would be missed when it is needed. Raises NotFound."""
    version = spec.on_failure.to
    if not version:
        return
    wanted = select(Release).where(Release.model == str(spec.release.name), Release.version == version)
    back = tx.exec(wanted).first()
    if back is None:
        raise NotFound(
            f"the server has no release {spec.release.name}@{version}",
            where="rollout.on_failure.to",
            hint="limosa release list",
        )
    check_offerable(back, where="rollout.on_failure.to")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Rows of a plan, as databases take them; `now` is when its devices began to wait."""

    plan: Plan
    now: float
    waiting: Queued
    cohorts: Sequence[tuple[Any, ...]]
    arms: Sequence[tuple[Any, ...]]


def prepare(tx: Transaction, planned: Plan, *, now: float) -> Prepared:
    """Lays out what `start` writes, so that nobody who writes waits for it."""
    return Prepared(
        plan=planned,
        now=now,
        waiting=queued(
            _members(planned),
            sizes=planned.sizes,
            away=frozenset(planned.offline),
            now=now,
            look_within_s=planned.spec.timeouts.silence_s,
        ),
        cohorts=cohort_rows(planned.cohorts),
        arms=arm_rows(tx, str(planned.spec.release.name), planned.arms),
    )


def start(
    tx: Transaction,
    ready: Prepared,
    *,
    actor: str,
    key: str | None,
    request_sha256: str,
    draft: bool = False,
) -> RolloutRow:
    """Writes the rollout, its waves and one execution per device; the controller starts it, a draft once
    it is submitted. Devices of other rollouts are taken over when it starts, not before."""
    planned, now = ready.plan, ready.now
    release = find_release(tx, planned.spec)
    row = RolloutRow(
        model=str(planned.spec.release.name),
        version=planned.spec.release.version,
        index_sha256=release.index_sha256,
        target=planned.spec.target,
        spec=dict(planned.spec.as_json()),
        salt=planned.salt,
        fingerprint=planned.fingerprint,
        status=(RolloutStatus.DRAFT if draft else RolloutStatus.VALIDATING).value,
        reason="written down, to be submitted" if draft else "its devices are being checked",
        since=now,
        created_at=now,
        created_by=actor,
        idempotency_key=key,
        request_sha256=request_sha256,
        priority=planned.spec.priority,
        follows=planned.spec.continuous,
        lane=lane_of(planned.spec),
    )
    tx.add(row)
    tx.flush()
    assert row.id is not None
    _write_waves(tx, row.id, planned, frozenset(planned.offline))
    queue(tx, row.id, ready.waiting)
    same = {"rollout": row.id}
    Insert.of(tx, CohortRow, COLUMNS, same).put(tx, ready.cohorts)
    Insert.of(tx, ArmRow, ARM_COLUMNS, same).put(tx, ready.arms)
    tx.announce(CONTROLLER, "rollouts", f"rollout {row.id}")
    return row


def _members(planned: Plan) -> list[tuple[str, ...]]:
    """Devices by the index of their wave; those held back as controls of the last one are in the tail."""
    return [*(wave.devices for wave in planned.waves), planned.cohorts.held_back]


def _write_waves(tx: Transaction, rollout: int, planned: Plan, away: frozenset[str]) -> None:
    cohorts = planned.cohorts.waves
    for index, (wave, spec) in enumerate(zip(planned.waves, planned.spec.waves, strict=True)):
        tx.add(
            WaveRow(
                rollout=rollout,
                index=index,
                name=wave.name,
                bake_s=spec.bake_s,
                pause_after=spec.then.value == "pause",
                size=len(wave.devices),
                tail=False,
                status=WaveStatus.PENDING.value,
                counts=_queued(len(wave.devices)),
                away=_queued(len(away.intersection(wave.devices))),
                **judge_columns(cohorts[index]),
            )
        )
    held = len(planned.cohorts.held_back)
    tx.add(
        WaveRow(
            rollout=rollout,
            index=len(planned.waves),
            name="tail",
            bake_s=0.0,
            pause_after=False,
            size=held,
            tail=True,
            status=WaveStatus.PENDING.value,
            counts=_queued(held),
            away=_queued(len(away.intersection(planned.cohorts.held_back))),
        )
    )
    tx.flush()


def _queued(count: int) -> dict[str, int]:
    return {Execution.QUEUED.value: count} if count else {}

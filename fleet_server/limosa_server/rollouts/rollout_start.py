"""Plans a rollout over what the database holds, and writes it down (rollouts 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import insert
from sqlmodel import col, select

from limosa_contracts.errors import NotFound
from limosa_contracts.phases import Execution
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.execution import DeviceExecution, ExecutionEvent, Return
from limosa_server.core.planning.plan import Plan
from limosa_server.core.rollout import RolloutStatus
from limosa_server.core.wave import WaveStatus
from limosa_server.registry.release_rows import check_offerable
from limosa_server.rollouts.controller import ACTIVE
from limosa_server.rollouts.executions import CONTROLLER, save
from limosa_server.rollouts.rollout_rows import execution_of
from limosa_server.store import Transaction
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow, WaveRow


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


def start(
    tx: Transaction, planned: Plan, *, now: float, actor: str, key: str | None, request_sha256: str
) -> RolloutRow:
    """Writes the rollout, its waves and one execution per device; the controller starts it."""
    release = find_release(tx, planned.spec)
    row = RolloutRow(
        model=str(planned.spec.release.name),
        version=planned.spec.release.version,
        index_sha256=release.index_sha256,
        target=planned.spec.target,
        spec=dict(planned.spec.as_json()),
        salt=planned.salt,
        fingerprint=planned.fingerprint,
        status=RolloutStatus.VALIDATING.value,
        reason="its devices are being checked",
        since=now,
        created_at=now,
        created_by=actor,
        idempotency_key=key,
        request_sha256=request_sha256,
    )
    tx.add(row)
    tx.flush()
    assert row.id is not None
    _write_waves(tx, row.id, planned)
    _take_over(tx, row, [device for wave in planned.waves for device in wave.devices], now)
    tx.execute(
        insert(ExecutionRow),
        [
            ExecutionRow(
                rollout=row.id,
                device=device,
                wave=index,
                state=Execution.QUEUED.value,
                step="queued",
                since=now,
                clock_from=now,
                due_at=now,
            ).model_dump()
            for index, wave in enumerate(planned.waves)
            for device in wave.devices
        ],
    )
    tx.announce(CONTROLLER, "rollouts", f"rollout {row.id}")
    return row


def _write_waves(tx: Transaction, rollout: int, planned: Plan) -> None:
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
                counts={Execution.QUEUED.value: len(wave.devices)},
            )
        )
    tx.add(
        WaveRow(
            rollout=rollout,
            index=len(planned.waves),
            name="tail",
            bake_s=0.0,
            pause_after=False,
            size=0,
            tail=True,
            status=WaveStatus.PENDING.value,
        )
    )
    tx.flush()


def _take_over(tx: Transaction, row: RolloutRow, devices: Sequence[str], now: float) -> None:
    """A newer rollout of the same model takes over the devices that both have (rollouts 2)."""
    ours = set(devices)
    older = tx.exec(
        select(ExecutionRow)
        .join(RolloutRow, col(RolloutRow.id) == col(ExecutionRow.rollout))
        .where(
            RolloutRow.model == row.model,
            RolloutRow.id != row.id,
            (col(RolloutRow.status).in_(ACTIVE)) | (RolloutRow.status == RolloutStatus.COMPLETED.value),
            col(ExecutionRow.state).in_(_OPEN) | (ExecutionRow.returning == Return.SENT.value),
        )
    ).all()
    for execution in older:
        if execution.device not in ours:
            continue
        before = execution_of(execution)
        after = _superseded(before, f"rollout {row.id} took it over", now)
        save(tx, execution, before, after)


_OPEN = tuple(state.value for state in Execution if not state.terminal)


def _superseded(run: DeviceExecution, reason: str, now: float) -> DeviceExecution:
    ended = run.after(ExecutionEvent.SUPERSEDE, now=now, step="superseded", reason=reason)
    return replace(ended, returning=Return.NOT_NEEDED) if run.returning is Return.SENT else ended

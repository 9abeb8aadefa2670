"""Plans a rollout over what the database holds, and writes it down (rollouts 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import insert
from sqlmodel import col, select

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.errors import NotFound
from limosa_contracts.oci import Requirements
from limosa_contracts.phases import Execution
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.errors import KnownBad, PlanRefused
from limosa_server.core.execution import DeviceExecution, ExecutionEvent, Return
from limosa_server.core.planning.plan import Candidate, Plan, ReleaseFacts, make_plan
from limosa_server.core.rollout import RolloutStatus
from limosa_server.core.wave import WaveStatus
from limosa_server.fleet import groups
from limosa_server.registry.release_rows import check_offerable
from limosa_server.rollouts.controller import ACTIVE
from limosa_server.rollouts.rollout_ingest import CONTROLLER, move_count
from limosa_server.rollouts.rollout_rows import execution_of, write_execution
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device, DeviceModel
from limosa_server.tables.groups import Membership
from limosa_server.tables.releases import Release, Variant
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow, WaveRow
from limosa_server.trust.permits import permitted_from, permitting

BAD_ENDS = tuple(
    status.value
    for status in (
        RolloutStatus.FAILED,
        RolloutStatus.ROLLING_BACK,
        RolloutStatus.ROLLED_BACK,
        RolloutStatus.ROLLBACK_INCOMPLETE,
    )
)
BAD_STATES = (Execution.FAILED.value, Execution.ROLLED_BACK.value, Execution.REJECTED.value)


def plan(tx: Transaction, spec: RolloutSpec, *, salt: str, now: float) -> Plan:
    """Writes nothing. Raises NotFound for an unknown release or group."""
    release = find_release(tx, spec)
    _check_way_back(tx, spec)
    candidates = _candidates(tx, spec, release, now)
    planned = make_plan(spec, _release_facts(tx, release), candidates, salt=salt)
    known = _known_bad(tx, planned)
    return planned if known is None else replace(planned, problems=(str(known), *planned.problems))


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


def _check_way_back(tx: Transaction, spec: RolloutSpec) -> None:
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


def refuse_bad(tx: Transaction, planned: Plan) -> None:
    """Raises KnownBad, PlanRefused."""
    known = _known_bad(tx, planned)
    if known is not None:
        raise known
    if planned.problems:
        raise PlanRefused(planned.problems[0], where=planned.spec.target, why="; ".join(planned.problems[1:]))


def _known_bad(tx: Transaction, planned: Plan) -> KnownBad | None:
    """The first device of the target on which an earlier rollout found these bytes bad (rollouts 3.9)."""
    release = find_release(tx, planned.spec)
    target = [device for wave in planned.waves for device in wave.devices] + list(planned.excluded)
    rows = tx.exec(
        select(ExecutionRow, RolloutRow)
        .join(RolloutRow, col(RolloutRow.id) == col(ExecutionRow.rollout))
        .where(
            RolloutRow.index_sha256 == release.index_sha256,
            col(RolloutRow.status).in_(BAD_ENDS),
            col(ExecutionRow.state).in_(BAD_STATES),
        )
    ).all()
    ours = set(target)
    for run, before in rows:
        if run.device in ours:
            return KnownBad(
                f"{planned.spec.release} is known to be bad here",
                where=f"rollout {before.id}",
                why=f"on {run.device}: {run.reason or run.state}",
            )
    return None


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
        write_execution(execution, after)
        tx.add(execution)
        if before.state is not after.state:
            move_count(tx, execution.rollout, before.wave, before.state, after.state)
        tx.announce(f"rollout {execution.rollout}")


_OPEN = tuple(state.value for state in Execution if not state.terminal)


def _superseded(run: DeviceExecution, reason: str, now: float) -> DeviceExecution:
    ended = run.after(ExecutionEvent.SUPERSEDE, now=now, step="superseded", reason=reason)
    return replace(ended, returning=Return.NOT_NEEDED) if run.returning is Return.SENT else ended


def _release_facts(tx: Transaction, release: Release) -> ReleaseFacts:
    variants = tx.exec(
        select(Variant).where(Variant.release_id == release.id).order_by(col(Variant.position))
    ).all()
    return ReleaseFacts(
        index_sha256=release.index_sha256,
        release_counter=release.release_counter,
        variants=[(one.name, _requirements(one), one.size_bytes) for one in variants],
        may_return_to=(*release.may_return_to, *permitted_from(tx, release.model, release.version)),
    )


def _requirements(variant: Variant) -> Requirements:
    text = encode_canonical(variant.requires).decode()
    return Requirements.parse(text) if variant.requires else Requirements()


def _candidates(tx: Transaction, spec: RolloutSpec, release: Release, now: float) -> list[Candidate]:
    labels = groups.labels_of(tx)
    if spec.selector is not None:
        wanted = {name for name, have in labels.items() if spec.selector.matches(have)}
    else:
        groups.get(tx, spec.group)
        wanted = set(tx.exec(select(Membership.device).where(Membership.group == spec.group)).all())
    models = {
        row.device: row
        for row in tx.exec(select(DeviceModel).where(DeviceModel.model == release.model)).all()
    }
    releases = {
        row.index_sha256: row for row in tx.exec(select(Release).where(Release.model == release.model)).all()
    }
    back = permitting(tx, release.model, release.version)
    return [
        _candidate(
            device, labels.get(device.id, {}), models.get(device.id), releases, spec, release, back, now
        )
        for device in tx.exec(select(Device).order_by(col(Device.id))).all()
        if device.id in wanted
    ]


def _candidate(
    device: Device,
    labels: dict[str, str],
    said: DeviceModel | None,
    releases: dict[str, Release],
    spec: RolloutSpec,
    release: Release,
    permitted: frozenset[str],
    now: float,
) -> Candidate:
    runs = releases.get(said.active_index) if said is not None else None
    barred = "" if device.state == "active" else f"it is {device.state}"
    if said is not None and release.index_sha256 in said.quarantined:
        barred = "known-bad: the device has quarantined this release"
    return Candidate(
        device=device.id,
        labels=labels,
        capabilities=device.capabilities,
        resources=device.resources,
        reachable=device.online or now - (device.last_seen or device.enrolled_at) <= spec.timeouts.silence_s,
        running_version=said.active_version if said is not None else "",
        running_counter=runs.release_counter if runs is not None else 0,
        may_return=runs is not None and (release.version in runs.may_return_to or runs.version in permitted),
        barred=barred,
    )

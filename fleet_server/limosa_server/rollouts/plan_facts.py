"""Everything that a plan is made of, as the database holds it at one moment (rollouts 4).

Read in a few wide queries of plain tuples: a plan over 100,000 devices is asked for by people who wait.
Only the target is read, however large the fleet is beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Select, Text, and_, cast, func
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.oci import Requirements
from limosa_contracts.rollout.control import PREVIOUS_VERSION, PROFILE
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.device_state import DeviceState
from limosa_server.core.habit import Habit
from limosa_server.core.planning.candidates import ReleaseFacts, VariantFacts
from limosa_server.core.planning.known_bad import Finding
from limosa_server.fleet import groups
from limosa_server.fleet.selector_sql import selected
from limosa_server.rollouts import findings, pins
from limosa_server.rollouts.rollout_start import check_way_back, find_release
from limosa_server.store import Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.tables.devices import Device, DeviceLabel, DeviceModel
from limosa_server.tables.groups import Membership
from limosa_server.tables.habits import DeviceHabit
from limosa_server.tables.releases import Release, Variant
from limosa_server.trust.permits import permitted_from, permitting

Row: TypeAlias = tuple[Any, ...]
USUAL_SHARE: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """A release that devices may run now, as far as it decides whether they may go to another."""

    version: str
    release_counter: int
    may_return_to: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What is the same for all devices. `release` is without the time that devices took for others."""

    version: str
    release: ReleaseFacts
    known: tuple[Finding, ...]
    offered: Mapping[str, Runs]  # by the sha256 of its index
    permitted: frozenset[str]  # versions from which a permit leads back to this one
    pins: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`devices`: by name: (id, state, profile, agent, capabilities, resources, active version, index and
    manifest, quarantined), JSON as text. `labels`: (device, key, value) in their order, none where nothing
    asks for them. Who can be reached is not in it: that changes all the time."""

    shared: Shared
    devices: Sequence[Row]
    labels: Sequence[Row]


def read(tx: Transaction, spec: RolloutSpec, *, now: float, only: Sequence[str] | None = None) -> Facts:
    """`only`: as if the target were these devices of it.

    Raises NotFound for an unknown release or group, ReleaseRetracted.
    """
    release = find_release(tx, spec)
    check_way_back(tx, spec)
    if spec.selector is None:
        groups.get(tx, spec.group)
    if tx.autoflush:
        tx.flush()  # what follows is asked around the session
    known = tuple(findings.against(tx, release.index_sha256, within=_target(spec, only)))
    return Facts(
        shared=Shared(
            version=release.version,
            release=_release_facts(tx, release),
            known=known,
            offered=_offered(tx, release.model),
            permitted=permitting(tx, release.model, release.version),
            pins=pins.standing(tx, release.model, now=now),
        ),
        devices=_devices(tx, spec, release.model, only),
        labels=_labels(tx, spec, only) if _needs_labels(spec, known) else (),
    )


def reachable(
    tx: Transaction, spec: RolloutSpec, only: Sequence[str] | None, *, now: float
) -> frozenset[str]:
    """The devices that are connected, or were heard of not longer ago than silence takes."""
    query = select_columns(col(Device.id)).where(
        col(Device.online).is_(True)
        | (func.coalesce(col(Device.last_seen), col(Device.enrolled_at)) >= now - spec.timeouts.silence_s)
    )
    return frozenset(device for (device,) in _rows(tx, query, col(Device.id), spec, only))


def usual_gaps(tx: Transaction, spec: RolloutSpec, only: Sequence[str] | None) -> dict[str, float]:
    """Seconds between two signs of each device, as nine of ten of its hours have them; where that is known.
    A device that holds its connection has no gaps, and is not in it."""
    query = select_columns(col(DeviceHabit.device), col(DeviceHabit.observed_to), col(DeviceHabit.spans_s))
    found: dict[str, float] = {}
    for device, observed_to, spans in _rows(tx, query, col(DeviceHabit.device), spec, only):
        gap = Habit.of(observed_to, spans).gap_s(USUAL_SHARE)
        if gap is not None:
            found[device] = gap
    return found


def _release_facts(tx: Transaction, release: Release) -> ReleaseFacts:
    variants = tx.exec(
        select(Variant).where(Variant.release_id == release.id).order_by(col(Variant.position))
    ).all()
    return ReleaseFacts(
        index_sha256=release.index_sha256,
        release_counter=release.release_counter,
        variants=[
            VariantFacts(
                name=one.name,
                requires=_requirements(one),
                size_bytes=one.size_bytes,
                manifest_sha256=one.manifest_sha256,
            )
            for one in variants
        ],
        min_agent=release.min_agent,
        may_return_to=(*release.may_return_to, *permitted_from(tx, release.model, release.version)),
    )


def _requirements(variant: Variant) -> Requirements:
    text = encode_canonical(variant.requires).decode()
    return Requirements.parse(text) if variant.requires else Requirements()


def _offered(tx: Transaction, model: str) -> dict[str, Runs]:
    return {
        row.index_sha256: Runs(
            version=row.version,
            release_counter=row.release_counter,
            may_return_to=tuple(row.may_return_to),
        )
        for row in tx.exec(select(Release).where(Release.model == model)).all()
    }


def _rows(
    tx: Transaction,
    query: Select[*tuple[Any, ...]],
    device: Any,
    spec: RolloutSpec,
    only: Sequence[str] | None,
) -> list[Row]:
    """Of the target's devices; `device`: the column that names one."""
    connection = tx.connection()  # the session would look at each row
    inside = _target(spec, None)
    if only is None:
        # One after the other: a second list of as many rows costs the collector of garbage as much again.
        return list(map(tuple, connection.execute(query.where(device.in_(inside)))))
    return [
        tuple(row)
        for some in in_rounds(sorted(only))
        for row in connection.execute(query.where(device.in_(inside), device.in_(some)))
    ]


def _target(spec: RolloutSpec, only: Sequence[str] | None) -> Any:
    """The names of its devices, as a query."""
    if spec.selector is not None:
        return select(Device.id).where(Device.state == DeviceState.ACTIVE, selected(spec.selector))
    return select(Membership.device).where(Membership.group == spec.group)


def _devices(tx: Transaction, spec: RolloutSpec, model: str, only: Sequence[str] | None) -> list[Row]:
    mine: ColumnElement[bool] = and_(
        col(DeviceModel.device) == col(Device.id), col(DeviceModel.model) == model
    )
    query = (
        select_columns(
            col(Device.id),
            col(Device.state),
            col(Device.profile),
            col(Device.agent),
            cast(col(Device.capabilities), Text),
            cast(col(Device.resources), Text),
            col(DeviceModel.active_version),
            col(DeviceModel.active_index),
            col(DeviceModel.active_manifest),
            cast(col(DeviceModel.quarantined), Text),
        )
        .outerjoin(DeviceModel, mine)
        .order_by(col(Device.id))
    )
    return _rows(tx, query, col(Device.id), spec, only)


def _labels(tx: Transaction, spec: RolloutSpec, only: Sequence[str] | None) -> list[Row]:
    query = select_columns(col(DeviceLabel.device), col(DeviceLabel.key), col(DeviceLabel.value)).order_by(
        col(DeviceLabel.device), col(DeviceLabel.key)
    )
    return _rows(tx, query, col(DeviceLabel.device), spec, only)


def _needs_labels(spec: RolloutSpec, known: Sequence[Finding]) -> bool:
    by_label = set(spec.control.stratify_by) - {PROFILE, PREVIOUS_VERSION}
    of_arms = set(spec.modes.ab.stratify_by if spec.modes.ab else ()) - {PROFILE, PREVIOUS_VERSION}
    return (
        any(wave.selector is not None for wave in spec.waves)
        or (spec.control.percent > 0 and bool(by_label))
        or bool(of_arms)
        or any(name.startswith("label ") for one in known for name, _ in one.terms)
    )

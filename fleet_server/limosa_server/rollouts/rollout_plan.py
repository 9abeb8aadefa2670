"""Plans a rollout over what the database holds; writes nothing (rollouts 4).

Read in a few wide queries of plain tuples: a plan over 100,000 devices is asked for by people who wait.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Select, Text, cast
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.json_value import JsonValue
from limosa_contracts.oci import Requirements
from limosa_contracts.phases import Execution
from limosa_contracts.rollout.control import PREVIOUS_VERSION, PROFILE
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.errors import KnownBad, PlanRefused
from limosa_server.core.habit import Habit
from limosa_server.core.modes.eligible import usable
from limosa_server.core.planning.candidates import (
    Candidate,
    Exclusion,
    LeftOut,
    ReleaseFacts,
    VariantFacts,
)
from limosa_server.core.planning.known_bad import Finding, findings_warnings, ruled_out
from limosa_server.core.planning.plan import BytesOf, Plan, make_plan
from limosa_server.fleet import groups
from limosa_server.rollouts import findings, pins
from limosa_server.rollouts.remarks import remarks
from limosa_server.rollouts.rollout_start import check_way_back, find_release
from limosa_server.store import Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.tables.devices import Device, DeviceLabel, DeviceModel
from limosa_server.tables.groups import Membership
from limosa_server.tables.habits import DeviceHabit
from limosa_server.tables.releases import Release, Variant
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow
from limosa_server.trust.permits import permitted_from, permitting

USUAL_ROLLOUTS: Final = 3  # the last ones of the model, of which the usual time on a device is read
USUAL_DEVICES_MAX: Final = 2000
USUAL_SHARE: Final = 0.9
Row = Any  # a tuple of columns, as Core gives it


def plan(
    tx: Transaction,
    spec: RolloutSpec,
    *,
    salt: str,
    now: float,
    despite: Sequence[int] = (),
    bytes_of: BytesOf | None = None,
    only: Sequence[str] | None = None,
) -> Plan:
    """`despite`: rollouts whose findings are set aside. `only`: as if the target were these devices of it;
    nobody else is read.

    Raises NotFound for an unknown release or group, ReleaseRetracted.
    """
    release = find_release(tx, spec)
    check_way_back(tx, spec)
    known = findings.against(tx, release.index_sha256)
    facts = _release_facts(tx, release)
    chosen = usable(
        spec, facts, _candidates(tx, spec, release, known, frozenset(despite), now, only), salt=salt
    )
    planned = make_plan(
        spec,
        facts,
        chosen.candidates,
        salt=salt,
        bytes_of=bytes_of or (lambda _, variant: variant.size_bytes),
        despite=sorted(set(despite)),
        remarks=[
            *findings_warnings(known, despite=frozenset(despite)),
            *remarks(tx, spec, [one.device for one in chosen.candidates]),
        ],
    )
    return replace(planned, arms=chosen.arms) if chosen.arms else planned


def refuse_bad(planned: Plan) -> None:
    """Raises KnownBad, PlanRefused."""
    if not planned.problems:
        return
    if not any(wave.devices for wave in planned.waves):
        bad = [one.why for one in planned.excluded.values() if one.kind is LeftOut.KNOWN_BAD]
        if bad:
            raise KnownBad(
                f"{planned.spec.release} is known to be bad here", where=planned.spec.target, why=bad[0]
            )
    raise PlanRefused(planned.problems[0], where=planned.spec.target, why="; ".join(planned.problems[1:]))


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
        usual_s=_usual_s(tx, release.model),
    )


def _requirements(variant: Variant) -> Requirements:
    text = encode_canonical(variant.requires).decode()
    return Requirements.parse(text) if variant.requires else Requirements()


def _usual_s(tx: Transaction, model: str) -> float | None:
    """From the offer to the commit, as nine of ten devices needed in the last rollouts of the model."""
    last = (
        select(RolloutRow.id)
        .where(RolloutRow.model == model, col(RolloutRow.ended_at).is_not(None))
        .order_by(col(RolloutRow.id).desc())
        .limit(USUAL_ROLLOUTS)
    )
    numbers = list(tx.exec(last).all())
    took = sorted(
        max(0.0, since - offered)
        for since, offered in tx.execute(
            select_columns(col(ExecutionRow.since), col(ExecutionRow.offered_at))
            .where(
                col(ExecutionRow.rollout).in_(numbers),
                col(ExecutionRow.state) == Execution.SUCCEEDED.value,
                col(ExecutionRow.offered_at).is_not(None),
            )
            .limit(USUAL_DEVICES_MAX)
        ).all()
    )
    return took[math.ceil(USUAL_SHARE * len(took)) - 1] if took else None


def _candidates(
    tx: Transaction,
    spec: RolloutSpec,
    release: Release,
    known: Sequence[Finding],
    despite: frozenset[int],
    now: float,
    only: Sequence[str] | None,
) -> list[Candidate]:
    """Every device of the target, by its name."""
    rows = _target(tx, spec, only)
    labels = _labels(tx, only) if _needs_labels(spec, known) else {}
    if spec.selector is not None:
        wanted = spec.selector.matches
        rows = [row for row in rows if row.state == "active" and wanted(labels.get(row.id, {}))]
    shape = _Shape(tx, spec, release, known, despite, now, only)
    return [shape.candidate(row, labels.get(row.id, {})) for row in rows]


def _rows(
    tx: Transaction, query: Select[*tuple[Any, ...]], device: Any, only: Sequence[str] | None
) -> Sequence[Row]:
    """Of every device, or of these; `device`: the column that names it."""
    if only is None:
        return tx.execute(query).all()
    return [row for some in in_rounds(sorted(only)) for row in tx.execute(query.where(device.in_(some)))]


def _target(tx: Transaction, spec: RolloutSpec, only: Sequence[str] | None) -> Sequence[Row]:
    query = select_columns(
        col(Device.id),
        col(Device.state),
        col(Device.profile),
        col(Device.agent),
        cast(col(Device.capabilities), Text).label("capabilities"),
        cast(col(Device.resources), Text).label("resources"),
        col(Device.online),
        col(Device.last_seen),
        col(Device.enrolled_at),
    ).order_by(col(Device.id))
    if spec.selector is None:
        groups.get(tx, spec.group)
        query = query.join(Membership, col(Membership.device) == col(Device.id)).where(
            col(Membership.group) == spec.group
        )
    return _rows(tx, query, col(Device.id), only)


def _needs_labels(spec: RolloutSpec, known: Sequence[Finding]) -> bool:
    by_label = set(spec.control.stratify_by) - {PROFILE, PREVIOUS_VERSION}
    return (
        spec.selector is not None
        or any(wave.selector is not None for wave in spec.waves)
        or (spec.control.percent > 0 and bool(by_label))
        or any(name.startswith("label ") for one in known for name, _ in one.terms)
    )


def _labels(tx: Transaction, only: Sequence[str] | None) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    query = select_columns(col(DeviceLabel.device), col(DeviceLabel.key), col(DeviceLabel.value))
    for device, key, value in _rows(tx, query, col(DeviceLabel.device), only):
        found.setdefault(device, {})[key] = value
    return found


class _Shape:
    """Makes candidates; what is the same for many devices is read and parsed once."""

    def __init__(
        self,
        tx: Transaction,
        spec: RolloutSpec,
        release: Release,
        known: Sequence[Finding],
        despite: frozenset[int],
        now: float,
        only: Sequence[str] | None,
    ) -> None:
        self._spec, self._release, self._now = spec, release, now
        self._known, self._despite = known, despite
        self._models = _models(tx, release.model, only)
        self._releases = {
            row.index_sha256: row
            for row in tx.exec(select(Release).where(Release.model == release.model)).all()
        }
        self._permitted = permitting(tx, release.model, release.version)
        self._pins = pins.standing(tx, release.model, now=now)
        self._gaps = _usual_gaps(tx, only)
        self._parsed = _Parsed()

    def candidate(self, row: Row, labels: Mapping[str, str]) -> Candidate:
        device, state, profile, agent, capabilities, resources, online, last_seen, enrolled_at = row
        _, before, index, manifest, quarantined = self._models.get(device, _NOTHING)
        runs = self._releases.get(index)
        traits = findings.traits_of(profile=profile, previous=before, agent=agent, labels=labels)
        return Candidate(
            device=device,
            labels=labels,
            traits=traits,
            capabilities=self._parsed(capabilities),
            resources=self._parsed(resources),
            agent=agent,
            reachable=online or self._now - (last_seen or enrolled_at) <= self._spec.timeouts.silence_s,
            gap_s=self._gaps.get(device),
            running_version=before,
            running_counter=runs.release_counter if runs is not None else 0,
            running_manifest=manifest,
            may_return=runs is not None
            and (self._release.version in runs.may_return_to or runs.version in self._permitted),
            barred=self._barred(device, state, quarantined, traits),
        )

    def _barred(
        self, device: str, state: str, quarantined: str, traits: Mapping[str, str]
    ) -> Exclusion | None:
        if state != "active":
            return Exclusion(kind=LeftOut.NOT_ACTIVE, why=f"it is {state}")
        pin = self._pins.get(device)
        if pin is not None:
            return Exclusion(kind=LeftOut.PINNED, why=pin)
        if self._release.index_sha256 in quarantined:
            return Exclusion(kind=LeftOut.KNOWN_BAD, why="the device has quarantined this release")
        return ruled_out(self._known, device, traits, despite=self._despite)


_NOTHING: Final = ("", "", "", "", "[]")
"""In the columns of `_models`, of a device that has said nothing of the model."""


def _usual_gaps(tx: Transaction, only: Sequence[str] | None) -> dict[str, float]:
    """Seconds between two signs of each device, as nine of ten of its hours have them; where that is known.
    A device that holds its connection has no gaps, and is not in it."""
    query = select_columns(col(DeviceHabit.device), col(DeviceHabit.observed_to), col(DeviceHabit.spans_s))
    found: dict[str, float] = {}
    for device, observed_to, spans in _rows(tx, query, col(DeviceHabit.device), only):
        gap = Habit.of(observed_to, spans).gap_s(USUAL_SHARE)
        if gap is not None:
            found[device] = gap
    return found


def _models(tx: Transaction, model: str, only: Sequence[str] | None) -> dict[str, Row]:
    query = select_columns(
        col(DeviceModel.device),
        col(DeviceModel.active_version),
        col(DeviceModel.active_index),
        col(DeviceModel.active_manifest),
        cast(col(DeviceModel.quarantined), Text).label("quarantined"),
    ).where(col(DeviceModel.model) == model)
    return {row.device: row for row in _rows(tx, query, col(DeviceModel.device), only)}


class _Parsed:
    """JSON objects by their text: what a thousand devices reported alike is one object."""

    def __init__(self) -> None:
        self._known: dict[str, Mapping[str, JsonValue]] = {}

    def __call__(self, text: str) -> Mapping[str, JsonValue]:
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = json.loads(text)
        return found


Sizes = Callable[[str, str], int | None]
"""(manifest that runs, manifest that shall run) -> bytes of the deltas between them, None where unknown."""


def by_delta(sizes: Sizes) -> BytesOf:
    """Bytes to move where deltas are known; each pair of manifests is looked at once."""
    known: dict[tuple[str, str], int | None] = {}

    def bytes_of(one: Candidate, variant: VariantFacts) -> int:
        if not one.running_manifest or not variant.manifest_sha256:
            return variant.size_bytes
        pair = (one.running_manifest, variant.manifest_sha256)
        if pair not in known:
            known[pair] = sizes(*pair)
        found = known[pair]
        return variant.size_bytes if found is None else min(found, variant.size_bytes)

    return bytes_of

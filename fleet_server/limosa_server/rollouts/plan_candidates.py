"""Devices before a rollout, made of what was read of them; and whether a plan of them still holds."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from typing import Final

from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.device_state import DeviceState
from limosa_server.core.planning.candidates import Candidate, Exclusion, FitMemo, LeftOut, memo_of, place_of
from limosa_server.core.planning.known_bad import ruled_out
from limosa_server.rollouts.findings import traits_of
from limosa_server.rollouts.plan_facts import Facts, Row, Shared

NO_LABELS: Final[Mapping[str, str]] = {}


def candidates(
    facts: Facts, *, reachable: Container[str], gaps: Mapping[str, float], despite: frozenset[int]
) -> list[Candidate]:
    """Every device of the target, by its name."""
    labels = labels_of(facts.labels)
    shape = _Shape(facts.shared, despite)
    return [
        shape.candidate(
            row,
            labels.get(row[0], NO_LABELS),
            reachable=row[0] in reachable,
            gap_s=gaps.get(row[0]),
        )
        for row in facts.devices
    ]


def still_holds(spec: RolloutSpec, before: Facts, after: Facts, *, despite: frozenset[int]) -> bool:
    """Whether a plan made of `before` is as good now: the same devices may have the release, and each
    would get the same. Free space moves all the time: it counts only where it decides that."""
    if before.shared != after.shared or before.labels != after.labels:
        return False
    if before.devices == after.devices:
        return True
    if len(before.devices) != len(after.devices):
        return False
    shape = _Shape(after.shared, despite)
    fit = memo_of(after.shared.release.variants)
    return all(
        old[0] == new[0] and shape.told(spec, old, fit) == shape.told(spec, new, fit)
        for old, new in zip(before.devices, after.devices, strict=True)
        if old != new
    )


def labels_of(rows: Iterable[Row]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for device, key, value in rows:
        found.setdefault(device, {})[key] = value
    return found


class _Shape:
    """Makes candidates; what is the same for many devices is parsed once."""

    def __init__(self, shared: Shared, despite: frozenset[int]) -> None:
        self._shared, self._despite = shared, despite
        self._parsed = _Parsed()

    def candidate(
        self, row: Row, labels: Mapping[str, str], *, reachable: bool, gap_s: float | None
    ) -> Candidate:
        device, state, profile, agent, capabilities, resources, before, index, manifest, quarantined = row
        before, shared = before or "", self._shared
        runs = shared.offered.get(index or "")
        traits = traits_of(profile=profile, previous=before, agent=agent, labels=labels)
        return Candidate(
            device=device,
            labels=labels,
            traits=traits,
            capabilities=self._parsed(capabilities),
            resources=self._parsed(resources),
            agent=agent,
            reachable=reachable,
            gap_s=gap_s,
            running_version=before,
            running_counter=runs.release_counter if runs is not None else 0,
            running_manifest=manifest or "",
            may_return=runs is not None
            and (shared.version in runs.may_return_to or runs.version in shared.permitted),
            barred=self._barred(device, state, quarantined or "", traits),
        )

    def told(self, spec: RolloutSpec, row: Row, fit: FitMemo) -> tuple[Candidate, object]:
        """What a plan tells apart in one device, and what it would get, or the kind of why not."""
        one = self.candidate(row, NO_LABELS, reachable=True, gap_s=None)
        place = place_of(spec, self._shared.release, one, fit=fit)
        return replace(one, resources={}), place.kind if isinstance(place, Exclusion) else place

    def _barred(
        self, device: str, state: str, quarantined: str, traits: Mapping[str, str]
    ) -> Exclusion | None:
        if state != DeviceState.ACTIVE:
            return Exclusion(kind=LeftOut.NOT_ACTIVE, why=f"it is {state}")
        pin = self._shared.pins.get(device)
        if pin is not None:
            return Exclusion(kind=LeftOut.PINNED, why=pin)
        if self._shared.release.index_sha256 in quarantined:
            return Exclusion(kind=LeftOut.KNOWN_BAD, why="the device has quarantined this release")
        return ruled_out(self._shared.known, device, traits, despite=self._despite)


class _Parsed:
    """JSON objects by their text: what a thousand devices reported alike is one object."""

    def __init__(self) -> None:
        self._known: dict[str, Mapping[str, JsonValue]] = {}

    def __call__(self, text: str) -> Mapping[str, JsonValue]:
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = json.loads(text)
        return found

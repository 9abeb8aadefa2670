"""Which devices of the target a mode can use, and who is in which arm of a comparison (rollouts 6). Pure.

What the mode cannot use is barred with its reason, so that the plan shows it beside all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from limosa_contracts.rollout.modes import AbTest, Mode
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.modes.arms import CHAMPION, draw, stratum_of
from limosa_server.core.planning.candidates import (
    Candidate,
    Exclusion,
    LeftOut,
    ReleaseFacts,
    memo_of,
    place_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One device of a comparison. `version`: what it ran when it was drawn."""

    arm: str
    stratum: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """`arms`: of a comparison every device that is in it, by name; else empty."""

    candidates: tuple[Candidate, ...]
    arms: Mapping[str, Drawn] = field(default_factory=dict)


def usable(spec: RolloutSpec, release: ReleaseFacts, candidates: Sequence[Candidate], *, salt: str) -> Usable:
    if spec.mode is Mode.REPLACE:
        return Usable(candidates=tuple(candidates))
    barred = [_with_a_champion(spec, one) for one in candidates]
    test = spec.modes.ab
    return Usable(candidates=tuple(barred)) if test is None else _divided(spec, test, release, barred, salt)


def _with_a_champion(spec: RolloutSpec, one: Candidate) -> Candidate:
    """Bars a device that has nothing to compare the release with."""
    if one.barred is not None:
        return one
    against = spec.modes.ab.against if spec.modes.ab is not None else ""
    why = ""
    if not one.running_version:
        why = f"it answers with no version of {spec.release.name}"
    elif one.running_version == spec.release.version:
        why = f"it answers with {one.running_version} already"
    elif against and one.running_version != against:
        why = f"it runs {one.running_version}, not {against}"
    return replace(one, barred=Exclusion(kind=LeftOut.NO_CHAMPION, why=why)) if why else one


def _divided(
    spec: RolloutSpec, test: AbTest, release: ReleaseFacts, candidates: Sequence[Candidate], salt: str
) -> Usable:
    """Arms are drawn among devices that could take the release: the others would be in one arm only."""
    fit = memo_of(release.variants)
    able = {
        one.device: one
        for one in candidates
        if not isinstance(place_of(spec, release, one, fit=fit), Exclusion)
    }
    strata = {name: stratum_of(test.stratify_by, _facts(one)) for name, one in able.items()}
    arms = {
        name: Drawn(arm=arm, stratum=strata[name], version=able[name].running_version)
        for name, arm in draw(strata, percent=test.percent, salt=salt).items()
    }
    return Usable(
        candidates=tuple(_kept(one, arms.get(one.device)) for one in candidates),
        arms=arms,
    )


def _kept(one: Candidate, drawn: Drawn | None) -> Candidate:
    if drawn is None or drawn.arm != CHAMPION:
        return one
    why = f"arm {CHAMPION}: it keeps {drawn.version}"
    return replace(one, barred=Exclusion(kind=LeftOut.CHAMPION, why=why))


def _facts(one: Candidate) -> dict[str, str]:
    profile = one.capabilities.get("profile")
    known = {"profile": profile if isinstance(profile, str) else "", "previous_version": one.running_version}
    return {**one.labels, **known}

"""Who is compared with whom: treated devices and controls of each wave, stratum by stratum (rollouts 5.1).

Controls come from the waves that follow, which are not offered the release before this wave's gate has
passed; of the last wave a share is held back, and follows in the tail. Waves come in the order in which
they were drawn (planning.waves_plan: by a hash of the rollout's salt and the device, those that can be
reached first), and each arm is taken from the front: nobody chooses, and nothing is drawn twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Final, TypeAlias

from limosa_contracts.rollout.control import Control

ARM_MIN: Final = 20  # rollouts 5.0: with fewer no test can speak
ARM_MAX: Final = 500  # more devices in an arm would show less than the margins anyway
CONTROLS_PER_DEVICE: Final = 4  # a fifth control adds nothing that one more treated device would not
LATER_MAX: Final = 20 * ARM_MAX  # devices among which controls are looked for
REPORTS_IN_BAKE: Final = 2  # a bake shorter than this many reports has nothing to compare

Traits: TypeAlias = Mapping[str, tuple[str, ...]]
"""Per device its values of `control.stratify_by`, the coarsest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveCohort:
    """One wave's arms: device -> stratum. `why_not`: why counts alone decide here, "" if they do not."""

    treated: Mapping[str, str] = field(default_factory=dict)
    control: Mapping[str, str] = field(default_factory=dict)
    why_not: str = ""

    @property
    def compares(self) -> bool:
        return not self.why_not


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohorts:
    """`held_back`: devices of the last wave that are its controls; they come out of it, into the tail."""

    waves: tuple[WaveCohort, ...]
    held_back: tuple[str, ...] = ()


def draw_cohorts(
    waves: Sequence[Sequence[str]],
    traits: Traits,
    control: Control,
    *,
    bakes_s: Sequence[float],
    report_every_s: float,
) -> Cohorts:
    """Cohorts of planned waves. `bakes_s`: of each wave.

    A wave whose arms would have fewer than ARM_MIN devices is judged by counts, and says why.
    """
    if control.percent <= 0:
        return Cohorts(waves=tuple(WaveCohort(why_not="control.percent is 0") for _ in waves))
    share = control.percent / 100
    found: list[WaveCohort] = []
    for place, wave in enumerate(waves[:-1]):
        later = list(islice(chain.from_iterable(waves[place + 1 :]), LATER_MAX))
        found.append(_cohort(wave, later, traits, share))
    held = _hold_back(waves[-1], traits, share) if waves else ()
    gone = set(held)
    last = [device for device in (waves[-1] if waves else ()) if device not in gone]
    found.append(_cohort(last, held, traits, 1.0))
    for place, bake_s in enumerate(bakes_s):
        if bake_s < REPORTS_IN_BAKE * report_every_s:
            found[place] = WaveCohort(why_not="its bake is shorter than two reports of a device")
    return Cohorts(waves=tuple(found), held_back=tuple(held) if found and found[-1].compares else ())


def _cohort(wave: Sequence[str], later: Sequence[str], traits: Traits, share: float) -> WaveCohort:
    if min(len(wave), len(later)) < ARM_MIN:
        return WaveCohort(
            why_not=f"{len(wave)} devices against {len(later)}: {ARM_MIN} are needed in each arm"
        )
    strata = _widened(wave[:ARM_MAX], later, traits)
    all_of_them = len(later) <= CONTROLS_PER_DEVICE * len(wave)
    wanted = {
        name: len(theirs) if all_of_them else _controls(len(mine), len(theirs), share)
        for name, (mine, theirs) in strata.items()
    }
    total = sum(wanted.values())
    if total > ARM_MAX:
        wanted = {name: max(1, count * ARM_MAX // total) for name, count in wanted.items()}
    treated = {device: name for name, (mine, _) in strata.items() for device in mine}
    control = {device: name for name, (_, theirs) in strata.items() for device in theirs[: wanted[name]]}
    few = min(len(treated), len(control))
    return WaveCohort(
        treated=treated,
        control=control,
        why_not="" if few >= ARM_MIN else f"{few} devices in an arm: {ARM_MIN} are needed",
    )


def _controls(treated: int, there: int, share: float) -> int:
    """
    >>> _controls(20, 80, 0.2), _controls(80, 100, 0.2), _controls(10, 1000, 0.2)
    (80, 100, 202)
    """
    return min(there, max(math.ceil(share * (treated + there) - 1e-9), CONTROLS_PER_DEVICE * treated))


def _hold_back(wave: Sequence[str], traits: Traits, share: float) -> tuple[str, ...]:
    """A share of each stratum; strata too small to give one are taken together."""
    wanted = min(ARM_MAX, math.floor(len(wave) * share + 1e-9))
    if wanted < ARM_MIN or len(wave) - wanted < ARM_MIN:
        return ()
    order = sorted(wave, key=lambda device: traits.get(device, ()))
    # Evenly through the devices in the order of their strata: each gives its share, to within one.
    return tuple(order[(2 * i + 1) * len(order) // (2 * wanted)] for i in range(wanted))


def _widened(
    treated: Sequence[str], later: Sequence[str], traits: Traits
) -> dict[str, tuple[list[str], list[str]]]:
    """Strata in which both arms are; one that lacks an arm is joined to its neighbours (rollouts 5.1)."""
    leaves: dict[tuple[str, ...], tuple[list[str], list[str]]] = {}
    depth = max((len(traits.get(device, ())) for device in (*treated, *later)), default=0)
    for arm, members in enumerate((treated, later)):
        for device in members:
            key = (*traits.get(device, ()), *([""] * depth))[:depth]
            leaves.setdefault(key, ([], []))[arm].append(device)
    for level in range(depth - 1, -1, -1):
        leaves = _joined(leaves, level)
    return {
        "/".join(part or "-" for part in key) or "all": arms
        for key, arms in sorted(leaves.items())
        if arms[0] and arms[1]
    }


def _joined(
    leaves: Mapping[tuple[str, ...], tuple[list[str], list[str]]], level: int
) -> dict[tuple[str, ...], tuple[list[str], list[str]]]:
    """Joins those that lack an arm to others with the same first `level` traits."""
    result = {key: arms for key, arms in leaves.items() if arms[0] and arms[1]}
    poor: dict[tuple[str, ...], tuple[list[str], list[str]]] = {}
    for key, arms in sorted(leaves.items()):
        if not (arms[0] and arms[1]):
            both = poor.setdefault(key[:level], ([], []))
            both[0].extend(arms[0])
            both[1].extend(arms[1])
    for parent, arms in poor.items():
        siblings = [key for key in result if key[:level] == parent]
        if not (arms[0] and arms[1]) and siblings:
            nearest = max(siblings, key=lambda key: (len(result[key][0]) + len(result[key][1]), key))
            mine, theirs = result.pop(nearest)
            arms = ([*mine, *arms[0]], [*theirs, *arms[1]])
            result[nearest] = arms
        else:
            result[(*parent, "*")] = arms
    return result

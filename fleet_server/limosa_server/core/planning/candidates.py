"""One device before a rollout: what is known of it, and why it would be left out (rollouts 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from limosa_contracts.json_value import JsonValue
from limosa_contracts.oci import Requirements
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.planning.fit import best_variant, version_numbers


class LeftOut(Enum):
    """Why a device of the target is not in any wave."""

    NOT_ACTIVE = "not active"
    PINNED = "pinned"
    KNOWN_BAD = "known-bad"
    AGENT_TOO_OLD = "agent too old"
    DISK = "not enough disk"
    NO_VARIANT = "no fitting variant"
    DOWNGRADE = "downgrade"
    NO_CHAMPION = "nothing to compare with"
    CHAMPION = "the other arm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """`why` says it of this device; devices with the same words are told together."""

    kind: LeftOut
    why: str

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One device of the target. `barred`: why it may not have the release, whatever it can run.

    `traits` are what known-bad memory compares (profile, previous, agent, …).
    """

    device: str
    labels: Mapping[str, str] = field(default_factory=dict)
    traits: Mapping[str, str] = field(default_factory=dict)
    capabilities: Mapping[str, JsonValue] = field(default_factory=dict)
    resources: Mapping[str, JsonValue] = field(default_factory=dict)
    agent: str = ""
    reachable: bool = True
    gap_s: float | None = None  # between two signs of it, as nine of ten are; None: nothing is known
    running_version: str = ""
    running_counter: int = 0  # release_counter of what it runs, 0 if unknown
    running_manifest: str = ""  # sha256 of the variant it runs
    may_return: bool = False  # what it runs names the new version in may_return_to
    barred: Exclusion | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantFacts:
    name: str
    requires: Requirements
    size_bytes: int
    manifest_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFacts:
    """`usual_s`: how long nine of ten devices took for the last rollouts of the model, from the offer to
    the commit; None if there was none. `expected_failures`: share that failed in them, 0..1."""

    index_sha256: str
    release_counter: int
    variants: Sequence[VariantFacts]  # best first
    min_agent: str = ""
    may_return_to: Sequence[str] = ()
    usual_s: float | None = None


def place_of(
    spec: RolloutSpec, release: ReleaseFacts, one: Candidate, *, fit: FitMemo
) -> VariantFacts | Exclusion:
    """The variant that the device would fetch, or why it is left out."""
    if one.barred is not None:
        return one.barred
    if one.agent and release.min_agent and _older(one.agent, release.min_agent):
        return Exclusion(
            kind=LeftOut.AGENT_TOO_OLD, why=f"the release needs agent {release.min_agent}, it has {one.agent}"
        )
    place, reason = fit(one)
    if place is None:
        short = "bytes of disk" in reason
        return Exclusion(kind=LeftOut.DISK if short else LeftOut.NO_VARIANT, why=reason)
    if one.running_counter > release.release_counter and not (spec.allow_downgrade and one.may_return):
        how = "set allow_downgrade" if one.may_return else "its release does not allow a return to it"
        return Exclusion(kind=LeftOut.DOWNGRADE, why=f"it runs {one.running_version}: {how}")
    return release.variants[place]


FitMemo = Callable[[Candidate], tuple[int | None, str]]


def memo_of(variants: Sequence[VariantFacts]) -> FitMemo:
    """`best_variant`, worked out once for devices that reported the same: a fleet has few kinds."""
    pairs = [(one.name, one.requires) for one in variants]
    needs_disk = max((one.requires.disk_bytes for one in variants), default=0)
    known: dict[tuple[int, object], tuple[int | None, str]] = {}
    kept: list[Mapping[str, JsonValue]] = []  # so that no id comes twice

    def fit(one: Candidate) -> tuple[int | None, str]:
        free = one.resources.get("disk_free_bytes")
        ample = not isinstance(free, (int, float)) or free >= needs_disk
        key = (id(one.capabilities), "ample" if ample else free)
        found = known.get(key)
        if found is None:
            found = known[key] = best_variant(pairs, one.capabilities, one.resources)
            kept.append(one.capabilities)
        return found

    return fit


def _older(agent: str, needed: str) -> bool:
    return version_numbers(agent) < version_numbers(needed)

"""What earlier rollouts found bad, and which devices that rules out (rollouts 3.9)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from limosa_contracts.json_value import JsonValue
from limosa_server.core.planning.candidates import Exclusion, LeftOut
from limosa_server.core.planning.slices import Terms, named


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the failures of one rollout have in common. `terms` () is: no part of the fleet stood out, so
    the release counts as bad for the `profiles` on which it failed. `devices`: where it failed, those that
    this class does not cover."""

    rollout: int
    version: str
    terms: Terms
    profiles: Sequence[str]
    failed: int
    executed: int
    sentence: str
    bad: bool
    devices: Collection[str] = frozenset()

    def covers(self, device: str, traits: Mapping[str, str]) -> bool:
        """Whether it rules this device out."""
        if device in self.devices:
            return True
        if self.terms:
            return all(traits.get(name, "") == value for name, value in self.terms)
        return traits.get("profile", "") in self.profiles

    @property
    def where(self) -> str:
        """The class of devices that it is about, in words."""
        if self.terms:
            return named(self.terms)
        return " or ".join(f"profile {one}" if one else "no profile" for one in sorted(self.profiles))

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "rollout": self.rollout,
            "version": self.version,
            "terms": [[name, value] for name, value in self.terms],
            "profiles": sorted(self.profiles),
            "where": self.where,
            "failed": self.failed,
            "executed": self.executed,
            "sentence": self.sentence,
            "bad": self.bad,
        }


def ruled_out(
    findings: Sequence[Finding], device: str, traits: Mapping[str, str], *, despite: Collection[int]
) -> Exclusion | None:
    """The first finding against this device that nobody has set aside by its rollout's number."""
    for one in findings:
        if one.bad and one.rollout not in despite and one.covers(device, traits):
            return Exclusion(kind=LeftOut.KNOWN_BAD, why=f"rollout {one.rollout}: {one.sentence}")
    return None


def findings_warnings(findings: Sequence[Finding], *, despite: Collection[int]) -> list[str]:
    """What was seen before and does not rule anybody out."""
    found = []
    for one in findings:
        if one.bad and one.rollout in despite:
            found.append(f"the finding of rollout {one.rollout} is set aside: {one.sentence}")
        elif not one.bad and one.terms:
            found.append(f"rollout {one.rollout} of these bytes had {one.sentence}")
    return found

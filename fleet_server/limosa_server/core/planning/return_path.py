"""How each device of a plan would come back: what it runs now, and whether the release allows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.on_failure import Scope
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.planning.candidates import Candidate, ReleaseFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnPath:
    """`devices` run `version` now ("": nothing); `to` is what they would go back to."""

    version: str
    devices: int
    to: str
    allowed: bool
    why: str

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "version": self.version,
            "devices": self.devices,
            "to": self.to,
            "allowed": self.allowed,
            "why": self.why,
        }


def return_paths(
    spec: RolloutSpec, release: ReleaseFacts, taking: Iterable[Candidate]
) -> tuple[ReturnPath, ...]:
    """One for each version that runs now, most devices first (trust 2.4, agent 4.4)."""
    running = Counter(one.running_version for one in taking)
    ordered = sorted(running.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(_path(spec, release, version, count) for version, count in ordered)


def _path(spec: RolloutSpec, release: ReleaseFacts, version: str, count: int) -> ReturnPath:
    to = spec.on_failure.to or version
    if version == spec.release.version:
        allowed, why = True, "they run the release already"
    elif not to:
        allowed, why = False, "they run nothing now, so there is nothing to return to"
    elif to in release.may_return_to:
        allowed, why = True, "may_return_to of the release names it"
    else:
        allowed, why = False, "may_return_to of the release does not list it"
    return ReturnPath(version=version, devices=count, to=to, allowed=allowed, why=why)


def return_warnings(spec: RolloutSpec, paths: Iterable[ReturnPath]) -> list[str]:
    missing = sorted({path.to for path in paths if path.to and not path.allowed})
    if spec.on_failure.rollback is Scope.NONE or not missing:
        return []
    return [
        f"a device that has committed cannot return to {', '.join(missing)}: "
        "may_return_to of the release does not list it"
    ]

"""What can happen to one model's update: the events of the update machine (agent 2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from limosa_agent.update.state import Facts, Release, Target
from limosa_contracts.event import Reason
from limosa_contracts.json_value import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The desired state names this target. `held`: why its download has to wait. `floor`: the committed
    release counter of the lane that answers, for a shadow, which must not be older either (trust 2.4)."""

    target: Target
    held: Reason | None = None
    floor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """The fetch child says how far it is."""

    verifying: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The release is verified and lies in its folder under releases/."""

    release: Release
    transfer: JsonObject = field(default_factory=dict)  # how its blobs came, for the event


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLost:
    """A transfer failed in a way that may pass."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The release may not or cannot be installed here; trying again changes nothing, unless one of the
    facts does that it was refused `under`."""

    reason: Reason
    under: Facts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOpened:
    """Nothing holds the update back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowClosed:
    """A hold, an application's lock or a maintenance window holds the update back."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestPassed:
    """`held`: what has begun to hold the update back meanwhile."""

    held: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestFailed:
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """`current` points, durably, to what the state says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A generation with the candidate accepts requests; it answers with this digest."""

    manifest_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFailed:
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthy:
    """The probation's verdict over what this digest answered."""

    manifest_sha256: str
    reason: Reason = field(default_factory=lambda: Reason(code="", message=""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unhealthy:
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class LateFailure:
    """What was committed fails: a crash loop, a check that fails for long (agent 4.3), or an operator."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What of this device a refusal may depend on, as it is now."""

    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """The supervisor has started and found this state on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhausted:
    """One attempt has made as many transitions as it may."""


Event: TypeAlias = (
    Wanted
    | Progressed
    | Fetched
    | LinkLost
    | Refused
    | WindowOpened
    | WindowClosed
    | SelfTestPassed
    | SelfTestFailed
    | Linked
    | Loaded
    | LoadFailed
    | Healthy
    | Unhealthy
    | LateFailure
    | Changed
    | Restarted
    | Exhausted
)

"""What the update machine keeps of one model (agent 2, 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.desired import DesiredModel, Trial
from limosa_contracts.event import Reason
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.phases import Phase
from limosa_contracts.reported import Installed

QUARANTINE_MAX: Final = 64  # digests of one model; the oldest leave first
NO_REASON: Final = Reason(code="", message="")
ACTIVE: Final = "active"  # the lane that answers requests
SHADOW: Final = "shadow"  # the lane whose answers are only compared (rollouts 6)
ABSENT: Final = "absent"  # the mode of a model that shall not be here
SHADOW_MARK: Final = "#shadow"  # no model's name has a #


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One attempt at one release, as the desired state names it."""

    version: str
    index_sha256: str
    rollout: str = ""
    attempt: int = 1
    mode: str = ACTIVE
    window: JsonObject | None = None  # maintenance windows, as the document has them
    trial: Trial = field(default_factory=Trial)
    permit: JsonObject | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes it another attempt: a changed trial or window alone does not."""
        permit = encode_canonical(self.permit) if self.permit is not None else b""
        return (self.index_sha256, self.rollout, self.attempt, self.mode, permit)

    @classmethod
    def of(cls, desired: DesiredModel) -> Self:
        return cls(
            version=desired.version,
            index_sha256=desired.index_sha256,
            rollout=desired.rollout,
            attempt=desired.attempt,
            mode=desired.mode,
            window=desired.window,
            trial=desired.trial,
            permit=desired.permit,
        )

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        return cls(
            version=fields.text("version"),
            index_sha256=fields.text("index_sha256"),
            rollout=fields.text("rollout", empty=True),
            attempt=fields.integer("attempt"),
            mode=fields.text("mode"),
            window=fields.maybe("window", fields.object),
            trial=Trial.parse(fields.fields("trial")),
            permit=fields.maybe("permit", fields.object),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "version": self.version,
            "index_sha256": self.index_sha256,
            "rollout": self.rollout,
            "attempt": self.attempt,
            "mode": self.mode,
            "windowed": self.window is not None,  # what the agent one step back asks for
            "window": self.window,
            "trial": self.trial.as_json(),
            "permit": self.permit,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One verified release in its slot, releases/<manifest_sha256>."""

    version: str
    index_sha256: str
    manifest_sha256: str
    variant: str = ""
    release_counter: int = 0
    may_return_to: tuple[str, ...] = ()

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        return cls(
            version=fields.text("version"),
            index_sha256=fields.text("index_sha256"),
            manifest_sha256=fields.text("manifest_sha256"),
            variant=fields.text("variant", empty=True),
            release_counter=fields.integer("release_counter"),
            may_return_to=fields.texts("may_return_to"),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "version": self.version,
            "index_sha256": self.index_sha256,
            "manifest_sha256": self.manifest_sha256,
            "variant": self.variant,
            "release_counter": self.release_counter,
            "may_return_to": list(self.may_return_to),
        }

    def installed(self) -> Installed:
        return Installed(
            version=self.version,
            index_sha256=self.index_sha256,
            manifest_sha256=self.manifest_sha256,
            variant=self.variant,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A digest that failed here and is not tried again."""

    manifest_sha256: str
    index_sha256: str
    reason: str
    until: int = 0  # Unix seconds by the reference time; 0: no clock was to be trusted yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What of this device a refusal may depend on: where none of it has changed, nothing is tried again."""

    agent: str
    capabilities_sha256: str
    free_bytes: int

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        return cls(
            agent=fields.text("agent", empty=True),
            capabilities_sha256=fields.text("capabilities_sha256", empty=True),
            free_bytes=fields.integer("free_bytes", low=0),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "agent": self.agent,
            "capabilities_sha256": self.capabilities_sha256,
            "free_bytes": self.free_bytes,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """One lane of a model. `active` is committed; `candidate` is on its way or on trial; `previous` was
    committed before. A shadow lane's `active` runs beside and never answers."""

    model: str
    lane: str = ACTIVE
    phase: Phase = Phase.IDLE
    target: Target | None = None
    candidate: Release | None = None
    active: Release | None = None
    previous: Release | None = None
    tries: int = 0
    transitions: int = 0
    committed_counter: int = 0
    reason: Reason = NO_REASON
    quarantine: tuple[Bad, ...] = ()
    refused_under: Facts | None = None  # of a refusal that this device itself may outgrow

    @property
    def key(self) -> str:
        """The lane's name in queues and alarms."""
        return self.model if self.lane == ACTIVE else self.model + SHADOW_MARK

    @property
    def is_shadow(self) -> bool:
        return self.lane == SHADOW

    @property
    def on_trial(self) -> bool:
        return self.phase in (Phase.ACTIVATING, Phase.PROBATION)

    @property
    def linked(self) -> Release | None:
        """What `current` shall point to (agent 3.0): derived from the state, never the reverse."""
        if self.is_shadow or self.phase in (Phase.REMOVING, Phase.REMOVED):
            return None
        return self.candidate if self.on_trial else self.active

    @property
    def holds_nothing(self) -> bool:
        """Nothing of it is here, and nothing is known of it that must outlast it (trust 2.4)."""
        return not self.kept and not self.quarantine and (self.is_shadow or not self.committed_counter)

    @property
    def kept(self) -> frozenset[str]:
        """Manifests that garbage collection leaves alone (agent 3, line 9)."""
        slots = (self.active, self.previous, self.candidate)
        return frozenset(release.manifest_sha256 for release in slots if release)

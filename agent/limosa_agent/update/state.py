"""What the update machine keeps of one model, and the actions it asks for (agent 2, 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self, TypeAlias

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.desired import DesiredModel, Trial
from limosa_contracts.event import Reason
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.phases import Phase
from limosa_contracts.reported import Installed

QUARANTINE_MAX: Final = 64  # digests of one model; the oldest leave first
NO_REASON: Final = Reason(code="", message="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One attempt at one release, as the desired state names it."""

    version: str
    index_sha256: str
    rollout: str = ""
    attempt: int = 1
    mode: str = "active"
    windowed: bool = False  # a maintenance window was asked for
    trial: Trial = field(default_factory=Trial)
    permit: JsonObject | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes it another attempt: a changed trial alone does not."""
        permit = encode_canonical(self.permit) if self.permit is not None else b""
        return (self.index_sha256, self.rollout, self.attempt, self.mode, self.windowed, permit)

    @classmethod
    def of(cls, desired: DesiredModel) -> Self:
        return cls(
            version=desired.version,
            index_sha256=desired.index_sha256,
            rollout=desired.rollout,
            attempt=desired.attempt,
            mode=desired.mode,
            windowed=desired.window is not None,
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
            windowed=fields.boolean("windowed"),
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
            "windowed": self.windowed,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """`active` is committed; `candidate` is on its way or on trial; `previous` was committed before."""

    model: str
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

    @property
    def on_trial(self) -> bool:
        return self.phase in (Phase.ACTIVATING, Phase.PROBATION)

    @property
    def linked(self) -> Release | None:
        """What `current` shall point to (agent 3.0): derived from the state, never the reverse."""
        return self.candidate if self.on_trial else self.active

    @property
    def kept(self) -> frozenset[str]:
        """Manifests that garbage collection leaves alone (agent 3, line 9)."""
        slots = (self.active, self.previous, self.candidate)
        return frozenset(release.manifest_sha256 for release in slots if release)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An update event for the server; written with the state it speaks of."""

    model: str
    version: str
    index_sha256: str
    manifest_sha256: str
    rollout: str
    attempt: int
    phase: Phase
    reason: Reason

    @property
    def key(self) -> str:
        """One per (rollout, attempt, model, phase); the release stands in where there is no rollout."""
        return f"{self.rollout or self.index_sha256[:16]}:{self.attempt}:{self.model}:{self.phase.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFetch:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class StopFetch:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryFetch:
    """Start the fetch again after a jittered pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSelfTest:
    """Golden vectors of the candidate in a limited child (agent 4.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchLink:
    """Point `current` to `state.linked` (agent 3, line 6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Start a generation with the candidate, the old one warm beside it (agent 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginProbation:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class FallBack:
    """Let the old generation answer again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStandby:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectGarbage:
    pass


Action: TypeAlias = (
    Report
    | StartFetch
    | StopFetch
    | RetryFetch
    | RunSelfTest
    | SwitchLink
    | Load
    | BeginProbation
    | FallBack
    | ReleaseStandby
    | CollectGarbage
)

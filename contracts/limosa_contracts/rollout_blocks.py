"""The blocks of a rollout: waves, rate, success, abort rules, clocks, what happens on failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from limosa_contracts.duration import format_duration, parse_duration
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import NAME, check_version
from limosa_contracts.selector import Selector

LATER: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("control", "analysis", "on_inconclusive", "schedule", "approval", "retry", "priority"),
    "rate": ("exponential", "max_bytes_per_second"),
    "timeouts": ("download_stall", "verify", "end", "at_end"),
}
"""Fields of rollouts 4 that this version does not carry out. They are refused, never ignored."""


class Then(Enum):
    NEXT = "next"
    """The next wave starts when the gate has passed."""
    PAUSE = "pause"
    """The rollout pauses after the gate; an operator resumes it."""


class Failure(Enum):
    """What an abort rule counts."""

    FAILED = "failed"
    TIMED_OUT = "timed_out"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    SILENT = "silent"
    """Switched, then not heard of for `timeouts.silence`."""
    ALL = "all"
    """All of the above but silence: many fleets are offline half the time (rollouts 3.4)."""


class Action(Enum):
    PAUSE = "pause"
    CANCEL = "cancel"
    ROLLBACK = "rollback"


class Scope(Enum):
    """Which devices go back when a rollout fails."""

    NONE = "none"
    WAVE = "wave"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveSpec:
    """`percent` is cumulative: the share of the group that has the release when this wave is through.
    `count` and `selector` are this wave's own. A wave with none of the three takes the rest."""

    name: str
    percent: float | None = None
    count: int | None = None
    selector: Selector | None = None
    min_devices: int | None = None  # None: 20, but at most a fifth of the group
    bake_s: float = 86400.0
    then: Then = Then.NEXT

    @property
    def takes_rest(self) -> bool:
        return self.percent is None and self.count is None and self.selector is None

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        wave = cls(
            name=fields.text("name", pattern=NAME),
            percent=fields.maybe("percent", lambda n: fields.number(n, low=0.001, high=100)),
            count=fields.maybe("count", lambda n: fields.integer(n, low=1, high=10_000_000)),
            selector=fields.maybe("selector", read_selector(fields)),
            min_devices=fields.maybe("min_devices", lambda n: fields.integer(n, low=1, high=10_000_000)),
            bake_s=fields.optional("bake", read_duration(fields), 86400.0),
            then=Then(fields.optional("then", lambda n: fields.choice(n, enum_values(Then)), "next")),
        )
        fields.refuse_rest()
        if sum(size is not None for size in (wave.percent, wave.count, wave.selector)) > 1:
            raise InvalidField(
                "a wave has one size", where=where, why="give percent, count or selector, not several"
            )
        return wave

    def as_json(self) -> dict[str, JsonValue]:
        return without_none(
            {
                "name": self.name,
                "percent": self.percent,
                "count": self.count,
                "selector": None if self.selector is None else str(self.selector),
                "min_devices": self.min_devices,
                "bake": format_duration(self.bake_s),
                "then": self.then.value,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    maximum_per_minute: int = 1000  # devices offered the release in any 60 s
    max_in_progress: int | None = None  # devices at it at once

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        refuse_later(fields, "rate")
        rate = cls(
            maximum_per_minute=fields.optional(
                "maximum_per_minute", lambda n: fields.integer(n, low=1, high=1_000_000), 1000
            ),
            max_in_progress=fields.maybe(
                "max_in_progress", lambda n: fields.integer(n, low=1, high=1_000_000)
            ),
        )
        fields.refuse_rest()
        return rate

    def as_json(self) -> dict[str, JsonValue]:
        return without_none(
            {"maximum_per_minute": self.maximum_per_minute, "max_in_progress": self.max_in_progress}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    percent: float = 95.0  # of executed devices, not of the whole wave (rollouts 3.2)
    min_succeeded: int = 1  # fewer successes than this in a wave: undecided, never passed
    reachable_within_s: float = 7 * 86400.0  # how long the tail waits for devices that are away
    min_reachable_executed: float = 80.0  # percent

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        success = cls(
            percent=fields.optional("percent", lambda n: fields.number(n, low=0.001, high=100), 95.0),
            min_succeeded=fields.optional(
                "min_succeeded", lambda n: fields.integer(n, low=1, high=10_000_000), 1
            ),
            reachable_within_s=fields.optional("reachable_within", read_duration(fields), 7 * 86400.0),
            min_reachable_executed=fields.optional(
                "min_reachable_executed", lambda n: fields.number(n, low=0, high=100), 80.0
            ),
        )
        fields.refuse_rest()
        return success

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "percent": self.percent,
            "min_succeeded": self.min_succeeded,
            "reachable_within": format_duration(self.reachable_within_s),
            "min_reachable_executed": self.min_reachable_executed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortRule:
    """Fires when the lower Wilson bound of failed/executed exceeds `threshold` (rollouts 3.3)."""

    failure: Failure = Failure.ALL
    threshold: float = 0.10  # 0 < x < 1, of executed devices
    min_executed: int | None = None  # None: 10, but at most the group
    confidence: float = 0.95  # one-sided
    action: Action = Action.PAUSE
    hard_stop_count: int | None = None  # this many failures stop it, whatever the bound says

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        rule = cls(
            failure=Failure(
                fields.optional("failure", lambda n: fields.choice(n, enum_values(Failure)), "all")
            ),
            threshold=fields.optional("threshold", lambda n: fields.number(n, low=0.0001, high=0.9999), 0.10),
            min_executed=fields.maybe("min_executed", lambda n: fields.integer(n, low=1, high=10_000_000)),
            confidence=fields.optional("confidence", lambda n: fields.number(n, low=0.5, high=0.9999), 0.95),
            action=Action(
                fields.optional("action", lambda n: fields.choice(n, enum_values(Action)), "pause")
            ),
            hard_stop_count=fields.maybe(
                "hard_stop_count", lambda n: fields.integer(n, low=1, high=10_000_000)
            ),
        )
        fields.refuse_rest()
        return rule

    def as_json(self) -> dict[str, JsonValue]:
        return without_none(
            {
                "failure": self.failure.value,
                "threshold": self.threshold,
                "min_executed": self.min_executed,
                "confidence": self.confidence,
                "action": self.action.value,
                "hard_stop_count": self.hard_stop_count,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Two clocks (rollouts 3.4); neither runs while the device cannot be reached."""

    offer_s: float = 86400.0  # from the offer to the first progress
    in_progress_s: float = 4 * 3600.0  # from the first progress to the end
    silence_s: float = 900.0  # offline this long: the wave goes on without the device

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        refuse_later(fields, "timeouts")
        timeouts = cls(
            offer_s=fields.optional("offer", read_duration(fields, at_least=0.1), 86400.0),
            in_progress_s=fields.optional("in_progress", read_duration(fields, at_least=0.1), 4 * 3600.0),
            silence_s=fields.optional("silence", read_duration(fields), 900.0),
        )
        fields.refuse_rest()
        return timeouts

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "offer": format_duration(self.offer_s),
            "in_progress": format_duration(self.in_progress_s),
            "silence": format_duration(self.silence_s),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OnFailure:
    rollback: Scope = Scope.NONE
    to: str = ""  # a version; "": what each device ran before

    @classmethod
    def parse(cls, fields: Fields, *, default: Scope) -> Self:
        on_failure = cls(
            rollback=Scope(
                fields.optional("rollback", lambda n: fields.choice(n, enum_values(Scope)), default.value)
            ),
            to=fields.optional("to", lambda n: check_version(fields.text(n)), ""),
        )
        fields.refuse_rest()
        return on_failure

    def as_json(self) -> dict[str, JsonValue]:
        return {"rollback": self.rollback.value, **({"to": self.to} if self.to else {})}


def enum_values(kind: type[Enum]) -> tuple[str, ...]:
    return tuple(member.value for member in kind)


def without_none(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {key: item for key, item in value.items() if item is not None}


def read_duration(fields: Fields, *, at_least: float = 0.0) -> Callable[[str], float]:
    def read(name: str) -> float:
        seconds = parse_duration(fields.text(name, max_chars=40), where=fields.at(name))
        if seconds < at_least:
            raise fields.wrong(name, f"at least {format_duration(at_least)}")
        return seconds

    return read


def read_selector(fields: Fields) -> Callable[[str], Selector]:
    return lambda name: Selector.parse(fields.text(name), where=fields.at(name))


def refuse_later(fields: Fields, block: str) -> None:
    for name in LATER[block]:
        if fields.has(name):
            raise InvalidField(
                f"{name!r} is not supported by this version",
                where=fields.at(name),
                why="it would not be carried out, so it is refused rather than ignored",
                hint="leave it out",
            )


def read_choice(fields: Fields, kind: type[Enum], name: str, default: str) -> str:
    return fields.optional(name, lambda n: fields.choice(n, enum_values(kind)), default)

"""What an operator asks for: the fields of a rollout file (TOML) and of `POST /rollouts` (JSON).

Everything is parsed and refused here, at creation, with the place and the reason (rollouts 4): a
threshold that were parsed when it is needed would fail when it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.desired import Trial
from limosa_contracts.duration import format_duration
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import NAME, ReleaseName
from limosa_contracts.rollout_blocks import (
    AbortRule,
    Action,
    OnFailure,
    Rate,
    Scope,
    Success,
    Timeouts,
    WaveSpec,
    read_duration,
    read_selector,
    refuse_later,
)
from limosa_contracts.selector import Selector

WAVES_MAX: Final = 32
DEFAULT_WAVES: Final = (
    WaveSpec(name="canary", percent=10.0),
    WaveSpec(name="half", percent=50.0),
    WaveSpec(name="rest"),
)
DEFAULT_ABORT: Final = (AbortRule(),)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSpec:
    release: ReleaseName
    group: str = ""  # exactly one of group and selector
    selector: Selector | None = None
    allow_downgrade: bool = False
    waves: tuple[WaveSpec, ...] = DEFAULT_WAVES
    rate: Rate = field(default_factory=Rate)
    success: Success = field(default_factory=Success)
    abort: tuple[AbortRule, ...] = DEFAULT_ABORT
    trial: Trial = field(default_factory=Trial)
    report_every_s: float = 300.0
    report_every_in_probation_s: float = 10.0
    timeouts: Timeouts = field(default_factory=Timeouts)
    on_failure: OnFailure = field(default_factory=OnFailure)

    @property
    def target(self) -> str:
        """The group or selector, as people read it."""
        return self.group or f"selector {self.selector}"

    @classmethod
    def parse(cls, value: JsonValue, *, where: str = "rollout") -> Self:
        """From what tomllib or a JSON parser gave. Raises InvalidField, InvalidSelector."""
        fields = Fields(value, where=where)
        refuse_later(fields, "")
        _only_snapshot(fields)
        abort = _rules(fields)
        rolls_back = any(rule.action is Action.ROLLBACK for rule in abort)
        every, in_probation = _telemetry(fields)
        spec = cls(
            release=ReleaseName.parse(fields.text("release", max_chars=200)),
            group=fields.optional("group", lambda n: fields.text(n, pattern=NAME), ""),
            selector=fields.maybe("selector", read_selector(fields)),
            allow_downgrade=fields.optional("allow_downgrade", fields.boolean, False),
            waves=_waves(fields),
            rate=fields.optional("rate", lambda n: Rate.parse(fields.fields(n)), Rate()),
            success=fields.optional("success", lambda n: Success.parse(fields.fields(n)), Success()),
            abort=abort,
            trial=fields.optional("trial", lambda n: _trial(fields.fields(n)), Trial()),
            report_every_s=every,
            report_every_in_probation_s=in_probation,
            timeouts=fields.optional("timeouts", lambda n: Timeouts.parse(fields.fields(n)), Timeouts()),
            on_failure=_on_failure(fields, default=Scope.ALL if rolls_back else Scope.NONE),
        )
        fields.refuse_rest()
        _check(spec, fields)
        return spec

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "release": str(self.release),
            **({"group": self.group} if self.group else {}),
            **({"selector": str(self.selector)} if self.selector is not None else {}),
            "allow_downgrade": self.allow_downgrade,
            "waves": [wave.as_json() for wave in self.waves],
            "rate": self.rate.as_json(),
            "success": self.success.as_json(),
            "abort": [rule.as_json() for rule in self.abort],
            "trial": self.trial.as_json(),
            "telemetry": {
                "report_every": format_duration(self.report_every_s),
                "report_every_in_probation": format_duration(self.report_every_in_probation_s),
            },
            "timeouts": self.timeouts.as_json(),
            "on_failure": self.on_failure.as_json(),
        }

    def encode(self) -> bytes:
        return encode_canonical(self.as_json())


def _only_snapshot(fields: Fields) -> None:
    if fields.optional("target_selection", fields.text, "snapshot") != "snapshot":
        raise InvalidField(
            'only target_selection = "snapshot" is supported by this version',
            where=fields.at("target_selection"),
            hint="start another rollout for devices that join later",
        )


def _rules(fields: Fields) -> tuple[AbortRule, ...]:
    if not fields.has("abort"):
        fields.maybe("abort", fields.raw)
        return DEFAULT_ABORT
    return tuple(AbortRule.parse(item, where=place) for place, item in fields.items("abort", max_items=16))


def _waves(fields: Fields) -> tuple[WaveSpec, ...]:
    if not fields.has("waves"):
        fields.maybe("waves", fields.raw)
        return DEFAULT_WAVES
    return tuple(
        WaveSpec.parse(item, where=place) for place, item in fields.items("waves", max_items=WAVES_MAX)
    )


def _trial(fields: Fields) -> Trial:
    trial = Trial.parse(fields)
    fields.refuse_rest()
    return trial


def _telemetry(fields: Fields) -> tuple[float, float]:
    if not fields.has("telemetry"):
        fields.maybe("telemetry", fields.raw)
        return 300.0, 10.0
    block = fields.fields("telemetry")
    every = block.optional("report_every", read_duration(block, at_least=0.5), 300.0)
    # In probation a device reports at least as often as always.
    in_probation = block.optional(
        "report_every_in_probation", read_duration(block, at_least=0.5), min(10.0, every)
    )
    block.refuse_rest()
    return every, in_probation


def _on_failure(fields: Fields, *, default: Scope) -> OnFailure:
    if not fields.has("on_failure"):
        fields.maybe("on_failure", fields.raw)
        return OnFailure(rollback=default)
    return OnFailure.parse(fields.fields("on_failure"), default=default)


def _check(spec: RolloutSpec, fields: Fields) -> None:
    """What no field can say alone."""
    if bool(spec.group) == (spec.selector is not None):
        raise InvalidField("a rollout has one target", where=fields.at("group"), why="give group or selector")
    if not spec.waves:
        raise InvalidField("a rollout has at least one wave", where=fields.at("waves"))
    names = [wave.name for wave in spec.waves]
    if len(set(names)) != len(names) or "tail" in names:
        raise InvalidField(
            "each wave has its own name",
            where=fields.at("waves"),
            why='"tail" is the last wave\'s, made by itself',
        )
    last = len(spec.waves) - 1
    if not spec.waves[last].takes_rest and spec.waves[last].percent != 100:
        raise InvalidField(
            "the last wave takes the rest of the group",
            where=fields.at(f"waves[{last}]"),
            hint="give it no percent, count or selector; for fewer devices choose a smaller group",
        )
    so_far = 0.0
    for i, wave in enumerate(spec.waves):
        if wave.takes_rest and i != last:
            raise InvalidField("only the last wave takes the rest", where=fields.at(f"waves[{i}]"))
        if wave.percent is not None:
            if wave.percent <= so_far:
                raise InvalidField(
                    "percent is cumulative, so it grows from wave to wave",
                    where=fields.at(f"waves[{i}].percent"),
                    why=f"{wave.percent:g} after {so_far:g}",
                )
            so_far = wave.percent
    if spec.on_failure.rollback is Scope.NONE and any(r.action is Action.ROLLBACK for r in spec.abort):
        raise InvalidField(
            "an abort rule rolls back, but on_failure.rollback is none",
            where=fields.at("on_failure.rollback"),
            hint='write rollback = "all", or action = "cancel"',
        )

"""What an operator asks for: the fields of a rollout file (TOML) and of `POST /rollouts` (JSON).

Everything is parsed and refused here, at creation, with the place and the reason (rollouts 4): a
threshold that were parsed when it is needed would fail when it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.desired import Trial
from limosa_contracts.duration import format_duration
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import NAME, ReleaseName
from limosa_contracts.rollout.abort import DEFAULT_ABORT, AbortRule, read_rules
from limosa_contracts.rollout.analysis import (
    DEFAULT_ANALYSIS,
    AnalysisRule,
    OnInconclusive,
    read_analysis,
    read_on_inconclusive,
)
from limosa_contracts.rollout.approval import Approval
from limosa_contracts.rollout.control import Control
from limosa_contracts.rollout.modes import Mode, Modes, check_modes, default_waves, read_control
from limosa_contracts.rollout.on_failure import OnFailure, read_on_failure
from limosa_contracts.rollout.rate import Rate
from limosa_contracts.rollout.reading import enum_values, read_duration, read_selector
from limosa_contracts.rollout.retry import Retry
from limosa_contracts.rollout.schedule import Schedule
from limosa_contracts.rollout.success import Success
from limosa_contracts.rollout.timeouts import Timeouts
from limosa_contracts.rollout.waves import DEFAULT_WAVES, WaveSpec, read_waves
from limosa_contracts.selector import Selector

PRIORITY_MAX: Final = 1000


class Selection(Enum):
    """Who is in the target."""

    SNAPSHOT = "snapshot"
    """Those who are in it when the rollout is made."""
    CONTINUOUS = "continuous"
    """Also those who join later; they come in through the tail (rollouts 3.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSpec:
    release: ReleaseName
    group: str = ""  # exactly one of group and selector
    selector: Selector | None = None
    target_selection: Selection = Selection.SNAPSHOT
    priority: int = 0  # of two rollouts of a model the higher one keeps the devices both have
    allow_downgrade: bool = False
    waves: tuple[WaveSpec, ...] = DEFAULT_WAVES
    rate: Rate = field(default_factory=Rate)
    success: Success = field(default_factory=Success)
    abort: tuple[AbortRule, ...] = DEFAULT_ABORT
    control: Control = field(default_factory=Control)
    analysis: tuple[AnalysisRule, ...] = DEFAULT_ANALYSIS
    on_inconclusive: OnInconclusive = OnInconclusive.EXTEND
    trial: Trial = field(default_factory=Trial)
    report_every_s: float = 300.0
    report_every_in_probation_s: float = 10.0
    timeouts: Timeouts = field(default_factory=Timeouts)
    on_failure: OnFailure = field(default_factory=OnFailure)
    retry: Retry = field(default_factory=Retry)
    schedule: Schedule = field(default_factory=Schedule)
    approval: Approval | None = None
    modes: Modes = field(default_factory=Modes)

    @property
    def mode(self) -> Mode:
        return self.modes.mode

    @property
    def target(self) -> str:
        """The group or selector, as people read it."""
        return self.group or f"selector {self.selector}"

    @property
    def continuous(self) -> bool:
        return self.target_selection is Selection.CONTINUOUS

    @classmethod
    def parse(cls, value: JsonValue, *, where: str = "rollout") -> Self:
        """From what tomllib or a JSON parser gave. Raises InvalidField, InvalidSelector."""
        fields = Fields(value, where=where)
        modes = Modes.parse(fields)
        abort = read_rules(fields)
        every, in_probation = _telemetry(fields)
        spec = cls(
            release=ReleaseName.parse(fields.text("release", max_chars=200)),
            group=fields.optional("group", lambda n: fields.text(n, pattern=NAME), ""),
            selector=fields.maybe("selector", read_selector(fields)),
            target_selection=Selection(
                fields.optional(
                    "target_selection", lambda n: fields.choice(n, enum_values(Selection)), "snapshot"
                )
            ),
            priority=fields.optional(
                "priority", lambda n: fields.integer(n, low=-PRIORITY_MAX, high=PRIORITY_MAX), 0
            ),
            allow_downgrade=fields.optional("allow_downgrade", fields.boolean, False),
            waves=default_waves(modes, fields.has("waves"), read_waves(fields)),
            rate=fields.optional("rate", lambda n: Rate.parse(fields.fields(n)), Rate()),
            success=fields.optional("success", lambda n: Success.parse(fields.fields(n)), Success()),
            abort=abort,
            control=read_control(modes, fields),
            analysis=read_analysis(fields),
            on_inconclusive=read_on_inconclusive(fields),
            trial=fields.optional("trial", lambda n: _trial(fields.fields(n)), Trial()),
            report_every_s=every,
            report_every_in_probation_s=in_probation,
            timeouts=fields.optional("timeouts", lambda n: Timeouts.parse(fields.fields(n)), Timeouts()),
            on_failure=read_on_failure(fields, abort),
            retry=fields.optional("retry", lambda n: Retry.parse(fields.fields(n)), Retry()),
            schedule=fields.optional("schedule", lambda n: Schedule.parse(fields.fields(n)), Schedule()),
            approval=fields.maybe("approval", lambda n: Approval.parse(fields.fields(n))),
            modes=modes,
        )
        fields.refuse_rest()
        check_modes(
            modes,
            fields,
            actions=tuple(rule.action for rule in abort),
            rollback=spec.on_failure.rollback,
            continuous=spec.continuous,
        )
        if bool(spec.group) == (spec.selector is not None):
            raise InvalidField(
                "a rollout has one target", where=fields.at("group"), why="give group or selector"
            )
        if spec.continuous and spec.selector is not None:
            raise InvalidField(
                "only a group can be followed",
                where=fields.at("target_selection"),
                why="who joins is noted for groups",
                hint=f"limosa group create NAME --selector {str(spec.selector)!r}",
            )
        return spec

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "release": str(self.release),
            **({"group": self.group} if self.group else {}),
            **({"selector": str(self.selector)} if self.selector is not None else {}),
            **({"target_selection": "continuous"} if self.continuous else {}),
            **({"priority": self.priority} if self.priority else {}),
            "allow_downgrade": self.allow_downgrade,
            "waves": [wave.as_json() for wave in self.waves],
            "rate": self.rate.as_json(),
            "success": self.success.as_json(),
            "abort": [rule.as_json() for rule in self.abort],
            **({"control": self.control.as_json()} if self.control != Control() else {}),
            **(
                {"analysis": [rule.as_json() for rule in self.analysis]}
                if self.analysis != DEFAULT_ANALYSIS
                else {}
            ),
            **(
                {"on_inconclusive": self.on_inconclusive.value}
                if self.on_inconclusive is not OnInconclusive.EXTEND
                else {}
            ),
            "trial": self.trial.as_json(),
            "telemetry": {
                "report_every": format_duration(self.report_every_s),
                "report_every_in_probation": format_duration(self.report_every_in_probation_s),
            },
            "timeouts": self.timeouts.as_json(),
            "on_failure": self.on_failure.as_json(),
            **({"retry": self.retry.as_json()} if self.retry != Retry() else {}),
            **({"schedule": self.schedule.as_json()} if self.schedule != Schedule() else {}),
            **({"approval": self.approval.as_json()} if self.approval is not None else {}),
            **self.modes.as_json(),
        }

    def encode(self) -> bytes:
        return encode_canonical(self.as_json())


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

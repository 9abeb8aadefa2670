"""`mode`: what a rollout does beyond replacing a version; `[shadow]` and `[ab]` (rollouts 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Self

from limosa_contracts.duration import format_duration
from limosa_contracts.errors import InvalidField
from limosa_contracts.feedback import KPIS_MAX
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import NAME, check_version
from limosa_contracts.rollout.abort import Action
from limosa_contracts.rollout.control import Control
from limosa_contracts.rollout.on_failure import Scope
from limosa_contracts.rollout.reading import read_choice, read_duration
from limosa_contracts.rollout.waves import Then, WaveSpec

WEEK_S: Final = 7 * 86400.0
DURATION_MAX_S: Final = 30 * 86400.0
"""Of a comparison: servers keep what each device said for 35 days (telemetry 3.6)."""
STRATIFY_MAX: Final = 6


class Mode(Enum):
    """What becomes of the version that answers."""

    REPLACE = "replace"
    """The release takes its place, wave after wave."""
    SHADOW = "shadow"
    """The release runs beside it on copies of what it is asked; nobody gets its answers."""
    AB = "ab"
    """The release takes its place on a drawn part of the devices; the others keep theirs, and both are
    held until the time is over."""


class Better(Enum):
    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """When a challenger agrees well enough with the version that answers."""

    agreement: float = 0.95  # least share of compared rows that both answer alike, 0 < x <= 1
    confidence: float = 0.95  # one-sided
    min_rows: int = 1000  # compared in a wave; fewer: undecided, never passed
    wait_s: float = WEEK_S  # how long beyond its bake a wave waits for rows

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField."""
        base = cls()
        shadow = cls(
            agreement=fields.optional(
                "agreement", lambda n: fields.number(n, low=0.0001, high=1), base.agreement
            ),
            confidence=fields.optional(
                "confidence", lambda n: fields.number(n, low=0.5, high=0.9999), base.confidence
            ),
            min_rows=fields.optional(
                "min_rows", lambda n: fields.integer(n, low=1, high=10**9), base.min_rows
            ),
            wait_s=fields.optional("wait", read_duration(fields), base.wait_s),
        )
        fields.refuse_rest()
        return shadow

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "agreement": self.agreement,
            "confidence": self.confidence,
            "min_rows": self.min_rows,
            "wait": format_duration(self.wait_s),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiRule:
    """One figure that applications report; `accuracy` is that of the labels they send.

    `worth`: in the KPI's own unit, the least difference that matters; 0: any.
    """

    name: str
    better: Better = Better.HIGHER
    worth: float = 0.0

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        rule = cls(
            name=fields.text("name", pattern=NAME),
            better=Better(read_choice(fields, Better, "better", Better.HIGHER.value)),
            worth=fields.optional("worth", lambda n: fields.number(n, low=0, high=1e9), 0.0),
        )
        fields.refuse_rest()
        return rule

    def as_json(self) -> dict[str, JsonValue]:
        return {"name": self.name, "better": self.better.value, "worth": self.worth}


@dataclass(frozen=True, slots=True, kw_only=True)
class AbTest:
    """The first KPI decides; the others may only object. The report is final when `duration` is over:
    whoever looked each hour and stopped at the first good one would be wrong far too often."""

    kpis: tuple[KpiRule, ...]
    percent: float = 50.0  # of the devices get the release
    duration_s: float = WEEK_S  # that both are held, after the last device of the last wave is through
    against: str = ""  # the version that the others run; "": whatever each of them runs
    confidence: float = 0.95  # of the intervals, two-sided
    min_devices: int = 2  # with a value in each arm; fewer: undecided
    stratify_by: tuple[str, ...] = ("profile", "previous_version")

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField."""
        test = cls(
            kpis=tuple(
                KpiRule.parse(item, where=place) for place, item in fields.items("kpis", max_items=KPIS_MAX)
            ),
            percent=fields.optional("percent", lambda n: fields.number(n, low=1, high=99), 50.0),
            duration_s=fields.optional("duration", _at_most(fields, DURATION_MAX_S), WEEK_S),
            against=fields.optional("against", lambda n: check_version(fields.text(n)), ""),
            confidence=fields.optional("confidence", lambda n: fields.number(n, low=0.5, high=0.9999), 0.95),
            min_devices=fields.optional("min_devices", lambda n: fields.integer(n, low=2, high=10**7), 2),
            stratify_by=fields.optional(
                "stratify_by",
                lambda n: fields.texts(n, max_items=STRATIFY_MAX),
                ("profile", "previous_version"),
            ),
        )
        fields.refuse_rest()
        names = [kpi.name for kpi in test.kpis]
        if not names or len(set(names)) != len(names):
            raise InvalidField(
                "a comparison has at least one KPI, each named once",
                where=fields.at("kpis"),
                hint='[[ab.kpis]] name = "accuracy" is there wherever applications send labels',
            )
        return test

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "kpis": [kpi.as_json() for kpi in self.kpis],
            "percent": self.percent,
            "duration": format_duration(self.duration_s),
            **({"against": self.against} if self.against else {}),
            "confidence": self.confidence,
            "min_devices": self.min_devices,
            "stratify_by": list(self.stratify_by),
        }


def _at_most(fields: Fields, seconds: float) -> Callable[[str], float]:
    read = read_duration(fields)

    def bounded(name: str) -> float:
        value = read(name)
        if value > seconds:
            raise fields.wrong(name, f"at most {format_duration(seconds)}")
        return value

    return bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Modes:
    """`shadow` and `ab` are there exactly in their mode."""

    mode: Mode = Mode.REPLACE
    shadow: Shadow | None = None
    ab: AbTest | None = None

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """From a whole rollout. Raises InvalidField."""
        mode = Mode(read_choice(fields, Mode, "mode", Mode.REPLACE.value))
        shadow = fields.maybe("shadow", lambda n: Shadow.parse(fields.fields(n)))
        ab = fields.maybe("ab", lambda n: AbTest.parse(fields.fields(n)))
        for given, block in ((shadow, Mode.SHADOW), (ab, Mode.AB)):
            if given is not None and mode is not block:
                raise InvalidField(
                    f"[{block.value}] has no meaning in this mode",
                    where=fields.at(block.value),
                    why=f'mode is "{mode.value}"',
                    hint=f'mode = "{block.value}"',
                )
        if mode is Mode.AB and ab is None:
            raise InvalidField(
                "a comparison needs its KPIs", where=fields.at("ab"), hint='[[ab.kpis]] name = "accuracy"'
            )
        if mode is Mode.SHADOW and shadow is None:
            shadow = Shadow()
        return cls(mode=mode, shadow=shadow, ab=ab)

    def as_json(self) -> dict[str, JsonValue]:
        """Nothing for a rollout that replaces."""
        if self.mode is Mode.REPLACE:
            return {}
        said: dict[str, JsonValue] = {"mode": self.mode.value}
        if self.shadow is not None:
            said["shadow"] = self.shadow.as_json()
        if self.ab is not None:
            said["ab"] = self.ab.as_json()
        return said


def default_waves(modes: Modes, given: bool, waves: tuple[WaveSpec, ...]) -> tuple[WaveSpec, ...]:
    """The waves of a rollout in this mode. `given`: the file names them.

    The last wave of a comparison bakes until both have been held for its duration, and then the rollout
    waits for an operator, who has the report.
    """
    if modes.ab is None:
        return waves
    if not given:
        waves = (WaveSpec(name="challenger"),)
    last = replace(waves[-1], bake_s=modes.ab.duration_s, then=Then.PAUSE)
    return (*waves[:-1], last)


def read_control(modes: Modes, fields: Fields) -> Control:
    """Of a rollout in this mode. Where both releases are held, nobody else is kept back for comparison."""
    if modes.mode is Mode.REPLACE:
        return fields.optional("control", lambda n: Control.parse(fields.fields(n)), Control())
    none = Control(percent=0.0)
    control = fields.optional("control", lambda n: Control.parse(fields.fields(n)), none)
    if control.percent:
        raise InvalidField(
            "nobody is kept back as a control in this mode",
            where=fields.at("control.percent"),
            why=f'mode is "{modes.mode.value}": it compares in its own way',
            hint="leave control out",
        )
    return none


def check_modes(
    modes: Modes, fields: Fields, *, actions: tuple[Action, ...], rollback: Scope, continuous: bool
) -> None:
    """What the mode makes of the other blocks. Raises InvalidField."""
    if modes.mode is Mode.SHADOW and (rollback is not Scope.NONE or Action.ROLLBACK in actions):
        raise InvalidField(
            "a shadow has nothing to go back to",
            where=fields.at("on_failure"),
            why="the version that answers was never touched; the end of a shadow takes the challenger away",
            hint='action = "cancel"',
        )
    if modes.mode is not Mode.REPLACE and continuous:
        raise InvalidField(
            "both releases are held on devices that are drawn at the start",
            where=fields.at("target_selection"),
            why=f'mode is "{modes.mode.value}"',
            hint='target_selection = "snapshot"',
        )

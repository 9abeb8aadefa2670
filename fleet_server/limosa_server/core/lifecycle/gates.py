"""What a release must show before production: named rules over facts, and a verdict in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from limosa_contracts.duration import format_duration, parse_duration
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue

RULES_MAX: Final = 16
DEVICES_MAX: Final = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionFacts:
    """What is known of a release. `running_s`: for each device that runs it, for how long, longest first
    (as many as the largest rule asks for are enough)."""

    completed_rollouts: int
    evidence_signed: bool
    evidence_why: str
    devices: int
    running_s: Sequence[float]
    troubled: int  # devices that fell back from it, refused it, or fail with it


@dataclass(frozen=True, slots=True)
class Checked:
    """One rule's answer; `words` say what is or what is missing."""

    rule: str
    passed: bool
    words: str

    def as_json(self) -> dict[str, JsonValue]:
        return {"rule": self.rule, "passed": self.passed, "words": self.words}


@dataclass(frozen=True, slots=True)
class CompletedRollout:
    """A rollout of it has completed, on this server."""

    name: str = "completed_rollout"

    def check(self, facts: PromotionFacts) -> Checked:
        passed = facts.completed_rollouts > 0
        words = "a rollout of it has completed" if passed else "no rollout of it has completed"
        return Checked(self.name, passed, words)

    def as_json(self) -> dict[str, JsonValue]:
        return {"rule": self.name}


@dataclass(frozen=True, slots=True)
class SignedEvidence:
    """Its team has published evidence, and the signature holds."""

    name: str = "evidence"

    def check(self, facts: PromotionFacts) -> Checked:
        words = "its evidence is signed by its team" if facts.evidence_signed else facts.evidence_why
        return Checked(self.name, facts.evidence_signed, words)

    def as_json(self) -> dict[str, JsonValue]:
        return {"rule": self.name}


@dataclass(frozen=True, slots=True)
class DevicesFor:
    """`devices` devices have run it for `for_s` seconds each."""

    devices: int
    for_s: float
    name: str = "devices"

    def check(self, facts: PromotionFacts) -> Checked:
        long_enough = sum(1 for seconds in facts.running_s if seconds >= self.for_s)
        words = f"{min(long_enough, self.devices)} of {self.devices} devices have run it for " + (
            format_duration(self.for_s)
        )
        return Checked(self.name, long_enough >= self.devices, words)

    def as_json(self) -> dict[str, JsonValue]:
        return {"rule": self.name, "devices": self.devices, "for": format_duration(self.for_s)}


@dataclass(frozen=True, slots=True)
class NoTrouble:
    """No device has trouble with it now."""

    name: str = "no_trouble"

    def check(self, facts: PromotionFacts) -> Checked:
        passed = facts.troubled == 0
        words = (
            "no device has trouble with it" if passed else f"{facts.troubled} devices have trouble with it"
        )
        return Checked(self.name, passed, words)

    def as_json(self) -> dict[str, JsonValue]:
        return {"rule": self.name}


Rule: TypeAlias = CompletedRollout | SignedEvidence | DevicesFor | NoTrouble
DEFAULT: Final[tuple[Rule, ...]] = (CompletedRollout(),)
"""Where nobody has set anything: as rollouts promote by themselves when they complete."""
RULE_NAMES: Final = ("completed_rollout", "evidence", "devices", "no_trouble")


def parse_rules(value: JsonValue, *, where: str) -> tuple[Rule, ...]:
    """`[{"rule": "devices", "devices": 20, "for": "48h"}, …]`; each name once. Raises InvalidField."""
    fields = Fields({"rules": value}, where=where)
    rules = tuple(
        _rule(Fields(item, where=place)) for place, item in fields.items("rules", max_items=RULES_MAX)
    )
    names = [rule.name for rule in rules]
    if len(set(names)) != len(names):
        raise InvalidField("a rule stands there twice", where=where, why=", ".join(names))
    return rules


def _rule(fields: Fields) -> Rule:
    name = fields.choice("rule", RULE_NAMES)
    rule: Rule
    match name:
        case "completed_rollout":
            rule = CompletedRollout()
        case "evidence":
            rule = SignedEvidence()
        case "devices":
            rule = DevicesFor(
                fields.integer("devices", low=1, high=DEVICES_MAX),
                parse_duration(fields.text("for"), where=fields.at("for")),
            )
        case _:
            rule = NoTrouble()
    fields.refuse_rest()
    return rule


def rules_json(rules: Sequence[Rule]) -> list[JsonObject]:
    return [rule.as_json() for rule in rules]


def check(rules: Sequence[Rule], facts: PromotionFacts) -> tuple[Checked, ...]:
    """Every rule's answer, in their order; the gate passes where all of them do (none is a pass)."""
    return tuple(rule.check(facts) for rule in rules)


def scope_for(scopes: Sequence[str], model: str) -> str:
    """The most particular scope that is set for `team/model`: the model, its team, or "*".

    >>> scope_for(["*", "vision"], "vision/detector"), scope_for(["audio"], "vision/detector")
    ('vision', '*')
    """
    for scope in (model, model.partition("/")[0]):
        if scope in scopes:
            return scope
    return "*"

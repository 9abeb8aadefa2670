"""What a comparison of two releases has shown, and what to do (rollouts 6). Pure: sums in, report out.

The first KPI decides. The others may only object: one that is worse beyond doubt (Bonferroni over them)
speaks against the challenger, whatever the first says. The report is final when the time is over; before
that it shows the same numbers and recommends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from limosa_contracts.duration import about_duration
from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.modes import AbTest, Better, KpiRule
from limosa_server.core.modes.effect import DeviceValues, Effect, devices_needed, effect


class Advice(Enum):
    WAIT = "wait"
    """The time is not over."""
    CHALLENGER = "challenger"
    CHAMPION = "champion"
    EITHER = "either"
    """Whatever difference there is does not matter."""
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiReport:
    """`found` is None where an arm has too few devices with values. `advice` of this KPI alone, and `verdict`
    in words; before the time is over there is none."""

    rule: KpiRule
    found: Effect | None
    advice: Advice
    verdict: str
    told: str

    @property
    def sentence(self) -> str:
        parts = [part for part in (self.told, self.verdict) if part]
        return f"{self.rule.name}: {'; '.join(parts)}"

    def as_json(self) -> dict[str, JsonValue]:
        return {
            **self.rule.as_json(),
            "effect": None if self.found is None else self.found.as_json(),
            "advice": self.advice.value,
            "verdict": self.verdict,
            "sentence": self.sentence,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AbReport:
    """`arms`: devices drawn into each, with or without values."""

    final: bool
    advice: Advice
    sentence: str
    kpis: tuple[KpiReport, ...]
    arms: Mapping[str, int]

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "final": self.final,
            "advice": self.advice.value,
            "sentence": self.sentence,
            "kpis": [kpi.as_json() for kpi in self.kpis],
            "arms": dict(self.arms),
        }


def report(
    test: AbTest,
    values: Mapping[str, Sequence[DeviceValues]],
    *,
    arms: Mapping[str, int],
    champion: str,
    challenger: str,
    left_s: float,
) -> AbReport:
    """`values`: KPI -> devices. `champion`, `challenger`: what people call them. `left_s`: until both have
    been held for the whole duration; 0 when it is over."""
    objecting = max(1, len(test.kpis) - 1)
    kpis = []
    for place, rule in enumerate(test.kpis):
        # Each objection is another chance to be wrong.
        confidence = test.confidence if place == 0 else 1 - (1 - test.confidence) / objecting
        found = effect(values.get(rule.name, ()), confidence=confidence)
        if found is not None and min(found.champion.devices, found.challenger.devices) < test.min_devices:
            found = None
        advice, verdict = _advice(rule, found, test)
        if left_s > 0 and found is not None:
            advice, verdict = Advice.WAIT, ""
        kpis.append(
            KpiReport(
                rule=rule,
                found=found,
                advice=advice,
                verdict=verdict,
                told=_told(found, champion, challenger),
            )
        )
    if left_s > 0:
        advice, sentence = Advice.WAIT, f"not final: both are held for {about_duration(left_s)} more"
    else:
        advice, sentence = _whole(kpis, champion, challenger)
    return AbReport(final=left_s <= 0, advice=advice, sentence=sentence, kpis=tuple(kpis), arms=dict(arms))


def _advice(rule: KpiRule, found: Effect | None, test: AbTest) -> tuple[Advice, str]:
    if found is None:
        return Advice.UNDECIDED, f"fewer than {test.min_devices} devices of an arm have a value"
    sign = 1 if rule.better is Better.HIGHER else -1
    low, high = sorted((sign * found.low, sign * found.high))
    if low > 0 and high >= rule.worth:
        return Advice.CHALLENGER, "better"
    if high < 0 and low <= -rule.worth:
        return Advice.CHAMPION, "worse"
    if rule.worth and -rule.worth < low and high < rule.worth:
        return Advice.EITHER, f"no difference of {rule.worth:g} or more"
    needed = devices_needed(found, worth=rule.worth)
    has = min(found.champion.devices, found.challenger.devices)
    if needed is None or needed <= has:
        return Advice.UNDECIDED, "undecided"
    return Advice.UNDECIDED, f"undecided: about {needed} devices in each arm would tell, {has} have values"


def _told(found: Effect | None, champion: str, challenger: str) -> str:
    if found is None:
        return ""
    ours, theirs = found.challenger, found.champion
    percent = "" if found.relative is None else f", {found.relative:+.1%}"
    before = "; what devices differed by before is taken out" if found.adjusted else ""
    return (
        f"{ours.mean:.4g} on {_devices(ours.devices)} with {challenger}, {theirs.mean:.4g} on "
        f"{_devices(theirs.devices)} with {champion}: {found.difference:+.4g}{percent} "
        f"({100 * found.confidence:.4g} %: {found.low:+.4g} to {found.high:+.4g}{before})"
    )


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"


def _whole(kpis: Sequence[KpiReport], champion: str, challenger: str) -> tuple[Advice, str]:
    first, *others = kpis
    against = [kpi.rule.name for kpi in others if kpi.advice is Advice.CHAMPION]
    if against and first.advice is not Advice.CHAMPION:
        return Advice.CHAMPION, f"keep {champion}: {', '.join(against)} is worse with {challenger}"
    match first.advice:
        case Advice.CHALLENGER:
            return first.advice, f"{challenger} is better in {first.rule.name}: roll it out"
        case Advice.CHAMPION:
            return first.advice, f"{challenger} is worse in {first.rule.name}: keep {champion}"
        case Advice.EITHER:
            return (
                first.advice,
                f"no difference in {first.rule.name} that matters: keep {champion} or choose",
            )
        case _:
            return Advice.UNDECIDED, f"{first.rule.name} does not tell the two apart: keep {champion}"

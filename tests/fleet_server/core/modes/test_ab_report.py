"""What a comparison recommends: by the first KPI, unless another objects, and not before its time."""

from __future__ import annotations

from limosa_contracts.rollout.modes import AbTest, Better, KpiRule
from limosa_server.core.modes.ab_report import AbReport, Advice, report
from limosa_server.core.modes.effect import DeviceValues

CLICKED = KpiRule(name="clicked", worth=0.05)
LOST = KpiRule(name="seconds-lost", better=Better.LOWER)


def values(champion: float, challenger: float, *, spread: float = 0.01) -> list[DeviceValues]:
    return [
        DeviceValues(device=f"{arm}{i}", arm=arm, n=100, total=100 * (mean + spread * (i % 3 - 1)))
        for arm, mean in (("a", champion), ("b", challenger))
        for i in range(10)
    ]


def of(*rules: KpiRule, left_s: float = 0.0, **some: list[DeviceValues]) -> AbReport:
    return report(
        AbTest(kpis=rules),
        {name.replace("_", "-"): given for name, given in some.items()},
        arms={"a": 10, "b": 10},
        champion="1.0.0",
        challenger="2.0.0",
        left_s=left_s,
    )


def test_better_challenger_is_recommended() -> None:
    said = of(CLICKED, clicked=values(0.3, 0.4))
    assert (said.advice, said.final) == (Advice.CHALLENGER, True)
    assert said.sentence == "2.0.0 is better in clicked: roll it out"
    told = said.kpis[0].sentence
    assert told.startswith("clicked: 0.399 on 10 devices with 2.0.0, 0.299 on 10 devices with 1.0.0: +0.1")
    assert "+33.4%" in told


def test_kpi_of_which_less_is_better() -> None:
    assert of(LOST, seconds_lost=values(5.0, 3.0)).advice is Advice.CHALLENGER
    assert of(LOST, seconds_lost=values(3.0, 5.0)).advice is Advice.CHAMPION


def test_difference_that_does_not_matter_is_not_a_reason() -> None:
    assert of(CLICKED, clicked=values(0.3, 0.32)).advice is Advice.EITHER


def test_doubt_keeps_the_champion_and_says_what_would_tell() -> None:
    said = of(CLICKED, clicked=values(0.3, 0.32, spread=0.2))
    assert said.advice is Advice.UNDECIDED
    assert "devices in each arm would tell, 10 have values" in said.kpis[0].sentence


def test_other_kpi_that_is_worse_objects() -> None:
    said = of(CLICKED, LOST, clicked=values(0.3, 0.4), seconds_lost=values(3.0, 5.0))
    assert (said.advice, said.sentence) == (Advice.CHAMPION, "keep 1.0.0: seconds-lost is worse with 2.0.0")
    assert said.kpis[0].advice is Advice.CHALLENGER


def test_nothing_is_recommended_before_the_time_is_over() -> None:
    said = of(CLICKED, left_s=86400.0, clicked=values(0.3, 0.4))
    assert (said.advice, said.final) == (Advice.WAIT, False)
    assert said.sentence.startswith("not final: both are held for ")


def test_application_that_never_reported_leaves_it_undecided() -> None:
    said = of(CLICKED)
    assert said.advice is Advice.UNDECIDED
    assert said.kpis[0].sentence == "clicked: fewer than 2 devices of an arm have a value"

"""An alert's life: once per cause, not before its time, quiet where it was silenced (telemetry 6.3)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidField
from limosa_contracts.selector import Selector
from limosa_server.core.alerts.finding import Finding, Looked
from limosa_server.core.alerts.machine import Alert, Event, Silence, State, Step, advance
from limosa_server.core.alerts.rules import (
    DEFAULT_RULES,
    AlertRule,
    Severity,
    Source,
    parse_rules,
    rules_json,
)

RULE = AlertRule(
    name="silent", source=Source.DEVICE_SILENT, severity=Severity.WARNING, for_s=60.0, repeat_s=3600.0
)
LAB = Finding(labels={"site": "lab"}, summary="3 devices were not heard of", count=3)


class Watch:
    """The alerts as a store would keep them, looked at again and again."""

    def __init__(self, *rules: AlertRule) -> None:
        self.rules = rules or (RULE,)
        self.alerts: dict[str, Alert] = {}
        self.silences: list[Silence] = []
        self.said: list[tuple[float, str]] = []

    def look(self, now: float, *findings: Finding, failed: bool = False) -> Step:
        looked = [Looked(rule=self.rules[0].name, findings=findings, failed=failed)] if self.rules else []
        step = advance(list(self.alerts.values()), looked, self.rules, self.silences, now=now)
        for alert in step.changed:
            self.alerts[alert.fingerprint] = alert
            if alert.state is State.RESOLVED:
                del self.alerts[alert.fingerprint]
        self.said += [(now, event.value) for event, _ in step.told]
        return step


def test_a_moment_of_trouble_is_no_alert() -> None:
    watch = Watch()
    watch.look(0, LAB)
    watch.look(30, LAB)
    step = watch.look(45)
    assert [alert.state for alert in step.changed] == [State.RESOLVED]
    assert not watch.said  # nobody was told of it, so nobody is told of its end


def test_one_cause_is_one_message_until_it_is_time_to_say_it_again() -> None:
    watch = Watch()
    for now in range(0, 4000, 15):
        watch.look(now, replace(LAB, count=now))
    watch.look(4000)
    watch.look(4015)
    watch.look(5000, LAB)
    watch.look(5060, LAB)
    told = [(60, "firing"), (3660, "firing"), (4000, "resolved"), (5060, "firing")]
    assert watch.said == told


def test_a_silenced_alert_tells_nobody_and_speaks_when_the_silence_ends() -> None:
    watch = Watch()
    watch.silences = [Silence(id=7, matcher=Selector.parse("rule=silent,site=lab"), until=500.0)]
    other = replace(LAB, labels={"site": "hq"})
    for now in (0, 60):
        watch.look(now, LAB, other)
    assert watch.said == [(60, "firing")]
    assert sorted(str(one.silence) for one in watch.alerts.values()) == ["7", "None"]
    watch.look(501, LAB, other)
    assert watch.said == [(60, "firing"), (501, "firing")]


def test_a_source_that_cannot_be_read_resolves_nothing() -> None:
    watch = Watch()
    watch.look(0, LAB)
    watch.look(60, LAB)
    assert watch.look(75, failed=True).changed == ()
    assert watch.said == [(60, "firing")]


def test_a_rule_that_is_taken_away_ends_its_alerts() -> None:
    watch = Watch()
    watch.look(0, LAB)
    watch.look(60, LAB)
    watch.rules = (replace(RULE, enabled=False),)
    watch.look(75)
    assert watch.said == [(60, "firing"), (75, "resolved")]


@given(st.lists(st.tuples(st.integers(1, 600), st.sets(st.sampled_from("abc")), st.booleans()), max_size=30))
def test_who_was_told_that_it_fires_is_told_that_it_is_over_and_nothing_is_told_twice(
    looks: list[tuple[int, set[str], bool]],
) -> None:
    watch, now, state = Watch(replace(RULE, repeat_s=1e9)), 0.0, dict.fromkeys("abc", "resolved")
    for gap, sites, failed in looks:
        now += gap
        found = [replace(LAB, labels={"site": site}) for site in sorted(sites)]
        for event, alert in watch.look(now, *found, failed=failed).told:
            site = alert.labels["site"]
            assert state[site] != event.value
            state[site] = event.value
            assert (event is Event.RESOLVED) == (alert.state is State.RESOLVED)
    watch.look(now + 1)
    for event, alert in watch.look(now + 2).told:
        state[alert.labels["site"]] = event.value
    assert not watch.alerts


def test_the_rules_that_come_with_the_server_are_what_they_say_when_they_are_written_down() -> None:
    assert parse_rules(rules_json(DEFAULT_RULES)) == DEFAULT_RULES
    assert {rule.source for rule in DEFAULT_RULES} == set(Source)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
        max_leaves=12,
    )
)
def test_rules_are_taken_or_refused_with_the_place(value: object) -> None:
    try:
        rules = parse_rules(value)  # type: ignore[arg-type]  # anything may come
    except InvalidField as error:
        assert error.where
    else:
        assert parse_rules(rules_json(rules)) == rules

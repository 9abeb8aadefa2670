"""Alert rules: parsed where they are set, complete with defaults (telemetry 6.3).

[[rule]]
name = "silent"
source = "device_silent"
severity = "warning"
for = "10m"          # it must hold so long before it fires
after = "24h"        # what "silent" means
min_count = 5        # fewer devices are no alert
by = "label:site"    # one alert per site
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from limosa_contracts.duration import format_duration, parse_duration
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import LABEL_KEY, NAME

RULES_MAX: Final = 64
LABEL_BY: Final = re.compile(rf"label:{LABEL_KEY.pattern}")


class Severity(Enum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class Source(Enum):
    """Where findings come from; each has its own idea of `after` and of how to group."""

    ROLLOUT_PAUSED = "rollout_paused"
    """A rollout stands and waits for a person: a gate failed, or nobody approves it."""
    ROLLOUT_FAILED = "rollout_failed"
    """A rollout ended badly within `after`."""
    ROLLOUT_WAITING = "rollout_waiting"
    """A rollout has been where it is for too long (core.overdue), or cannot be advanced."""
    DEVICE_SILENT = "device_silent"
    """Devices not heard of for `after`, and for longer than is usual for them."""
    DEVICE_FAILING = "device_failing"
    """Devices whose inferences fail, by their last window."""
    DEVICE_FELL_BACK = "device_fell_back"
    """Devices that refused a release, or went back from it by themselves."""
    DEVICE_QUARANTINED = "device_quarantined"
    """Devices that hold a release in quarantine."""
    DEVICE_DISK = "device_disk"
    """Devices with little room."""
    DEVICE_CERTIFICATE = "device_certificate"
    """Devices whose certificate ends within `after`: they should have renewed."""
    EXPIRY = "expiry"
    """Roles, certificates and lists of the server, and API tokens in use, that end."""
    BROKER_DOWN = "broker_down"
    """The server does not reach the broker, or messages wait for it, for longer than `after`."""
    STORAGE_LOW = "storage_low"
    """Less than `share` of the disk under the server's data is free."""
    RELEASE_RETRACTED = "release_retracted"
    """Devices still run a release that was retracted."""


DEVICE_SOURCES: Final = frozenset(source for source in Source if source.value.startswith("device_"))
BY_OF_DEVICES: Final = ("fleet", "model", "profile", "device")
AFTER_S: Final[Mapping[Source, float]] = {
    Source.ROLLOUT_FAILED: 86400.0,
    Source.DEVICE_SILENT: 86400.0,
    Source.DEVICE_CERTIFICATE: 5 * 86400.0,
    Source.BROKER_DOWN: 60.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """`for_s`: how long a finding must hold. `by`: what makes two findings two alerts, for devices:
    fleet | model | profile | device | label:KEY."""

    name: str
    source: Source
    severity: Severity
    for_s: float = 0.0
    after_s: float = 0.0
    min_count: int = 1
    by: str = "fleet"
    share: float = 0.05
    repeat_s: float = 86400.0
    enabled: bool = True

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        """Raises InvalidField."""
        fields = Fields(value, where=where)
        source = Source(fields.choice("source", tuple(one.value for one in Source)))
        by = fields.optional("by", lambda n: fields.text(n, max_chars=80), _by(source))
        if by != _by(source) and (source not in DEVICE_SOURCES or not _groups(by)):
            raise InvalidField(
                "alerts of this source cannot be grouped so", where=fields.at("by"), why=f"{by[:80]!r}"
            )
        rule = cls(
            name=fields.text("name", pattern=NAME),
            source=source,
            severity=Severity(fields.choice("severity", tuple(one.value for one in Severity))),
            for_s=_duration(fields, "for", 0.0),
            after_s=_duration(fields, "after", AFTER_S.get(source, 0.0)),
            min_count=fields.optional("min_count", lambda n: fields.integer(n, low=1, high=1_000_000), 1),
            by=by,
            share=fields.optional("share", lambda n: fields.number(n, low=0.001, high=0.9), 0.05),
            repeat_s=_duration(fields, "repeat", 86400.0),
            enabled=fields.optional("enabled", fields.boolean, True),
        )
        fields.refuse_rest()
        if rule.repeat_s < REPEAT_MIN_S:
            raise InvalidField(
                "an alert is not repeated so often", where=fields.at("repeat"), why="at least 5m"
            )
        return rule

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "source": self.source.value,
            "severity": self.severity.value,
            "for": format_duration(self.for_s),
            "after": format_duration(self.after_s),
            "min_count": self.min_count,
            "by": self.by,
            "share": self.share,
            "repeat": format_duration(self.repeat_s),
            "enabled": self.enabled,
        }


REPEAT_MIN_S: Final = 300.0


def parse_rules(value: JsonValue) -> tuple[AlertRule, ...]:
    """`{"rule": [{…}, …]}`, as `[[rule]]` in TOML; each name once. Raises InvalidField."""
    fields = Fields(value, where="alerts")
    items = fields.items("rule", max_items=RULES_MAX)
    rules = tuple(AlertRule.parse(item, where=place) for place, item in items)
    fields.refuse_rest()
    seen: set[str] = set()
    for rule in rules:
        if rule.name in seen:
            raise InvalidField("two rules have one name", where="alerts.rule", why=rule.name)
        seen.add(rule.name)
    return rules


def rules_json(rules: Sequence[AlertRule]) -> dict[str, JsonValue]:
    return {"rule": [rule.as_json() for rule in rules]}


def _duration(fields: Fields, name: str, default: float) -> float:
    return fields.optional(name, lambda n: parse_duration(fields.text(n), where=fields.at(n)), default)


def _by(source: Source) -> str:
    if source in (Source.DEVICE_FAILING, Source.DEVICE_FELL_BACK, Source.DEVICE_QUARANTINED):
        return "model"
    return "fleet" if source in DEVICE_SOURCES else "each"


def _groups(by: str) -> bool:
    return by in BY_OF_DEVICES or LABEL_BY.fullmatch(by) is not None


def _rule(name: str, source: Source, severity: Severity, **more: float) -> AlertRule:
    return AlertRule(
        name=name,
        source=source,
        severity=severity,
        by=_by(source),
        after_s=AFTER_S.get(source, 0.0),
        for_s=more.get("for_s", 0.0),
    )


DEFAULT_RULES: Final[tuple[AlertRule, ...]] = (
    _rule("rollout-paused", Source.ROLLOUT_PAUSED, Severity.WARNING),
    _rule("rollout-failed", Source.ROLLOUT_FAILED, Severity.CRITICAL),
    _rule("rollout-waiting", Source.ROLLOUT_WAITING, Severity.WARNING),
    _rule("device-silent", Source.DEVICE_SILENT, Severity.WARNING),
    _rule("device-failing", Source.DEVICE_FAILING, Severity.WARNING, for_s=600.0),
    _rule("device-fell-back", Source.DEVICE_FELL_BACK, Severity.WARNING),
    _rule("device-quarantined", Source.DEVICE_QUARANTINED, Severity.INFO),
    _rule("device-disk", Source.DEVICE_DISK, Severity.WARNING, for_s=600.0),
    _rule("device-certificate", Source.DEVICE_CERTIFICATE, Severity.WARNING),
    _rule("expiry", Source.EXPIRY, Severity.CRITICAL),
    _rule("broker-down", Source.BROKER_DOWN, Severity.CRITICAL, for_s=60.0),
    _rule("storage-low", Source.STORAGE_LOW, Severity.CRITICAL),
    _rule("release-retracted", Source.RELEASE_RETRACTED, Severity.WARNING, for_s=86400.0),
)
"""In force until somebody sets others: a fleet of five has alerts on its first day."""

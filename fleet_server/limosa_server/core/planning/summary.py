"""A plan as it travels: what the text, the page and the document show of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.duration import about_duration, format_duration
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject
from limosa_contracts.rollout.on_failure import Scope
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.planning.wording import size
from limosa_server.core.wording import devices

SENTENCE_MAX: Final = 4096
DEVICES_MAX: Final = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveSummary:
    """`starts_s`, `ends_s`: as expected, from the start of the rollout; `ends_s` is after its bake."""

    name: str
    devices: tuple[str, ...]
    offline: int
    size_bytes: int
    bake: str
    then: str
    gate: str
    starts_s: float
    ends_s: float
    latest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Devices told together."""

    devices: int
    what: str
    why: str
    good: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSummary:
    spec: RolloutSpec
    fingerprint: str
    waves: tuple[WaveSummary, ...]
    excluded: dict[str, str]
    excluded_by: tuple[Group, ...]
    offline: tuple[str, ...]
    expected_s: float
    expected_from: str
    longest_s: float
    size_bytes: int
    whole_bytes: int
    judge: str
    returns: tuple[Group, ...]
    warnings: tuple[str, ...]
    problems: tuple[str, ...]
    held_back: tuple[str, ...] = ()  # controls of the last wave, which follow in the tail

    @property
    def devices(self) -> int:
        return sum(len(wave.devices) for wave in self.waves) + len(self.held_back)

    @property
    def moving(self) -> str:
        """
        `4 MB`, or `1 MB (4 MB without deltas)`.
        """
        saved = f" ({size(self.whole_bytes)} without deltas)" if self.whole_bytes > self.size_bytes else ""
        return size(self.size_bytes) + saved

    @property
    def undone(self) -> str:
        """What happens on failure, in one sentence."""
        scope = self.spec.on_failure.rollback
        to = self.spec.on_failure.to or "what it ran before"
        if scope is Scope.NONE:
            return "nothing is rolled back by itself: it stops where it is, and a person decides"
        whom = "every device" if scope is Scope.ALL else "each device of the failed wave"
        return f"{whom} that was offered the release is told to run {to}"

    @classmethod
    def parse(cls, planned: JsonObject) -> Self:
        """Raises InvalidField."""
        fields = Fields(planned, where="plan")
        spec = RolloutSpec.parse(fields.raw("spec"), where="plan.spec")
        return cls(
            spec=spec,
            fingerprint=fields.text("fingerprint"),
            waves=_waves(fields, spec),
            excluded=fields.text_map("excluded", max_items=DEVICES_MAX, max_chars=SENTENCE_MAX),
            excluded_by=tuple(
                _left_out(Fields(item, where=place)) for place, item in fields.items("excluded_by")
            ),
            offline=fields.texts("offline", max_items=DEVICES_MAX),
            expected_s=fields.number("expected_s", low=0),
            expected_from=fields.text("expected_from"),
            longest_s=fields.number("longest_s", low=0),
            size_bytes=fields.integer("bytes", low=0),
            whole_bytes=fields.integer("bytes_whole", low=0),
            judge=fields.text("judge"),
            returns=tuple(_return(Fields(item, where=place)) for place, item in fields.items("returns")),
            warnings=fields.texts("warnings"),
            problems=fields.texts("problems"),
            held_back=fields.optional("held_back", lambda n: fields.texts(n, max_items=DEVICES_MAX), ()),
        )


def _waves(fields: Fields, spec: RolloutSpec) -> tuple[WaveSummary, ...]:
    found: list[WaveSummary] = []
    starts = latest = 0.0
    for (place, item), given in zip(fields.items("waves"), spec.waves, strict=True):
        one = Fields(item, where=place)
        ends = starts + one.number("expected_s", low=0)
        latest += one.number("longest_s", low=0)
        found.append(
            WaveSummary(
                name=one.text("name"),
                devices=one.texts("devices", max_items=DEVICES_MAX),
                offline=one.integer("offline", low=0),
                size_bytes=one.integer("bytes", low=0),
                bake=format_duration(given.bake_s),
                then=given.then.value,
                gate=one.text("gate"),
                starts_s=starts,
                ends_s=ends,
                latest_s=latest,
            )
        )
        starts = ends
    return tuple(found)


def _left_out(fields: Fields) -> Group:
    return Group(
        devices=fields.integer("devices", low=1), what=fields.text("kind"), why=fields.text("why"), good=False
    )


def _return(fields: Fields) -> Group:
    version, to = fields.text("version", empty=True), fields.text("to", empty=True)
    count, allowed = fields.integer("devices", low=1), fields.boolean("allowed")
    runs = f"{devices(count)} run{'s' if count == 1 else ''} {version or 'nothing'}"
    what = f"{runs}: can return to {to}" if allowed and to else f"{runs}: no way back"
    return Group(devices=count, what=what, why=fields.text("why"), good=allowed)


def about(seconds: float) -> str:
    """
    >>> about(0), about(90)
    ('at once', '1m 30s')
    """
    return about_duration(seconds) if seconds > 0 else "at once"


def few(names: tuple[str, ...] | list[str], limit: int) -> str:
    """
    >>> few(("b", "a", "c"), 2)
    'a, b …'
    """
    return ", ".join(sorted(names)[:limit]) + (" …" if len(names) > limit else "")

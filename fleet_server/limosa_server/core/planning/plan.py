"""What `start` would do: waves, who is left out and why, how long, what the judge sees (rollouts 4)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.json_value import JsonValue
from limosa_contracts.oci import Requirements
from limosa_contracts.rollout.abort import AbortRule
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.judging.gate import MIN_EXECUTED_DEFAULT, wilson_lower
from limosa_server.core.planning.fit import best_variant
from limosa_server.core.planning.waves_plan import divide, wave_order

COMPARE_FROM = 20  # rollouts 5.0: with fewer devices in an arm no test can speak


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One device of the group. `barred`: why it may not have the release, "" if it may."""

    device: str
    labels: Mapping[str, str] = field(default_factory=dict)
    capabilities: Mapping[str, JsonValue] = field(default_factory=dict)
    resources: Mapping[str, JsonValue] = field(default_factory=dict)
    reachable: bool = True
    running_version: str = ""
    running_counter: int = 0  # release_counter of what it runs, 0 if unknown
    may_return: bool = False  # what it runs names the new version in may_return_to
    barred: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFacts:
    index_sha256: str
    release_counter: int
    variants: Sequence[tuple[str, Requirements, int]]  # (name, requires, bytes), best first
    may_return_to: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWave:
    name: str
    devices: tuple[str, ...]
    longest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    spec: RolloutSpec
    salt: str
    fingerprint: str
    waves: tuple[PlannedWave, ...]
    excluded: Mapping[str, str]
    offline: tuple[str, ...]
    bytes_to_move: int
    judge: str
    warnings: tuple[str, ...]
    problems: tuple[str, ...]
    """What makes it impossible; a rollout with problems is refused."""

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "schema": "limosa.plan/1",
            "spec": self.spec.as_json(),
            "salt": self.salt,
            "fingerprint": self.fingerprint,
            "waves": [
                {"name": wave.name, "devices": list(wave.devices), "longest_s": wave.longest_s}
                for wave in self.waves
            ],
            "excluded": dict(self.excluded),
            "offline": list(self.offline),
            "longest_s": sum(wave.longest_s for wave in self.waves),
            "bytes": self.bytes_to_move,
            "judge": self.judge,
            "warnings": list(self.warnings),
            "problems": list(self.problems),
        }


def make_plan(
    spec: RolloutSpec, release: ReleaseFacts, candidates: Sequence[Candidate], *, salt: str
) -> Plan:
    excluded: dict[str, str] = {}
    size_of: dict[str, int] = {}
    for one in candidates:
        reason, size = _judge_candidate(spec, release, one)
        if reason:
            excluded[one.device] = reason
        else:
            size_of[one.device] = 0 if one.running_version == spec.release.version else size
    taking = {one.device: one for one in candidates if one.device in size_of}
    order = wave_order({name: one.reachable for name, one in taking.items()}, salt=salt)
    divided = divide(order, {name: one.labels for name, one in taking.items()}, spec.waves)
    waves = tuple(
        PlannedWave(
            name=wave.name,
            devices=tuple(devices),
            longest_s=_longest(spec, len(devices)) + wave.bake_s,
        )
        for wave, devices in zip(spec.waves, divided, strict=True)
    )
    return Plan(
        spec=spec,
        salt=salt,
        fingerprint=_fingerprint(spec, release, waves, salt),
        waves=waves,
        excluded=excluded,
        offline=tuple(name for name in order if not taking[name].reachable),
        bytes_to_move=sum(size_of.values()),
        judge=what_it_sees(spec, waves, len(order)),
        warnings=_warnings(spec, release, taking),
        problems=_problems(candidates, excluded, waves),
    )


def _judge_candidate(spec: RolloutSpec, release: ReleaseFacts, one: Candidate) -> tuple[str, int]:
    """(why it is left out, bytes of the variant it would fetch)."""
    if one.barred:
        return one.barred, 0
    place, reason = best_variant(
        [(name, requires) for name, requires, _ in release.variants], one.capabilities, one.resources
    )
    if place is None:
        return f"no fitting variant: {reason}", 0
    if one.running_counter > release.release_counter and not (spec.allow_downgrade and one.may_return):
        how = "set allow_downgrade" if one.may_return else "its release does not allow a return to it"
        return f"a downgrade from {one.running_version}: {how}", 0
    return "", release.variants[place][2]


def _longest(spec: RolloutSpec, devices: int) -> float:
    offering = math.ceil(devices / spec.rate.maximum_per_minute) * 60.0 - 60.0 if devices else 0.0
    return offering + spec.timeouts.offer_s + spec.timeouts.in_progress_s


def _fingerprint(spec: RolloutSpec, release: ReleaseFacts, waves: Sequence[PlannedWave], salt: str) -> str:
    return hashlib.sha256(
        encode_canonical(
            {
                "spec": spec.as_json(),
                "index_sha256": release.index_sha256,
                "salt": salt,
                "waves": [[wave.name, *wave.devices] for wave in waves],
            }
        )
    ).hexdigest()


def what_it_sees(spec: RolloutSpec, waves: Sequence[PlannedWave], group: int) -> str:
    """What the canary can show, and when the abort rules stop, in words.

    The chance that n devices show at least one failure is 1 - (1 - p)^n; 95 % is taken as seen.
    """
    if not waves or not waves[0].devices:
        return "nothing: the first wave is empty"
    n = len(waves[0].devices)
    visible = 1 - 0.05 ** (1 / n)
    text = (
        f"criteria judge (no control cohort): {'1 device' if n == 1 else f'{n} devices'} in the first "
        f"wave {'shows' if n == 1 else 'show'} at least one failure (95 %) "
        f"from a true failure rate of {visible:.0%} on"
    )
    for rule in spec.abort:
        stop = _first_stop(rule, group)
        of = max(stop, rule.min_executed or min(MIN_EXECUTED_DEFAULT, group))
        text += (
            f"; stops at {'1 failure' if stop == 1 else f'{stop} failures'} of {of}"
            if stop <= group
            else "; its abort rule cannot fire on so few"
        )
    if group < 2 * COMPARE_FROM:
        text += f"; {group} devices are too few for a comparison of two arms"
    return text


def _first_stop(rule: AbortRule, group: int) -> int:
    """The least failures at which the rule can fire, with as few executed as it accepts."""
    needed = rule.min_executed or min(MIN_EXECUTED_DEFAULT, group)
    for failed in range(1, group + 1):
        if rule.hard_stop_count is not None and failed >= rule.hard_stop_count:
            return failed
        executed = max(failed, needed)
        if executed <= group and wilson_lower(failed, executed, confidence=rule.confidence) > rule.threshold:
            return failed
    return group + 1


def _warnings(spec: RolloutSpec, release: ReleaseFacts, taking: Mapping[str, Candidate]) -> tuple[str, ...]:
    found = []
    before = {one.running_version for one in taking.values() if one.running_version}
    back = {spec.on_failure.to} if spec.on_failure.to else before - {spec.release.version}
    missing = sorted(back - set(release.may_return_to))
    if spec.on_failure.rollback.value != "none" and missing:
        found.append(
            f"a device that has committed cannot return to {', '.join(missing)}: "
            "may_return_to of the release does not list it"
        )
    for i, rule in enumerate(spec.abort):
        if rule.min_executed is not None and rule.min_executed > len(taking):
            found.append(
                f"abort[{i}] waits for {rule.min_executed} executed devices, there are {len(taking)}"
            )
    return tuple(found)


def _problems(
    candidates: Sequence[Candidate], excluded: Mapping[str, str], waves: Sequence[PlannedWave]
) -> tuple[str, ...]:
    if not candidates:
        return ("no device is in the target",)
    if len(excluded) == len(candidates):
        first = next(iter(sorted(excluded)))
        return (f"no device can take the release; {first}: {excluded[first]}",)
    # rollouts 3.2: an empty wave would block
    return tuple(f"wave {wave.name} has no device" for wave in waves if not wave.devices)

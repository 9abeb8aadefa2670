"""What `start` would do: waves, who is left out and why, how long, what the judge sees (rollouts 4)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.judging.cohorts import Cohorts, WaveCohort
from limosa_server.core.modes.eligible import Drawn
from limosa_server.core.planning.candidates import (
    Candidate,
    Exclusion,
    LeftOut,
    ReleaseFacts,
    VariantFacts,
    memo_of,
    place_of,
)
from limosa_server.core.planning.cohorts_plan import cohorts_json, cohorts_of, gate_words, held_out
from limosa_server.core.planning.power import Power, power_of
from limosa_server.core.planning.return_path import ReturnPath, return_paths, return_warnings
from limosa_server.core.planning.timeline import Stage, basis, stage_of
from limosa_server.core.planning.waves_plan import divide, fitting, wave_order

SCHEMA = "limosa.plan/2"
BytesOf = Callable[[Candidate, VariantFacts], int]
"""What the device would fetch for this variant: a delta where there is one, else the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWave:
    name: str
    devices: tuple[str, ...]
    offline: int  # of them, those that cannot be reached now
    bytes_to_move: int
    stage: Stage
    gate: str  # what must hold before the next one, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`despite`: rollouts whose findings an operator sets aside by name."""

    spec: RolloutSpec
    salt: str
    fingerprint: str
    waves: tuple[PlannedWave, ...]
    excluded: Mapping[str, Exclusion]
    offline: tuple[str, ...]
    bytes_to_move: int
    bytes_whole: int  # without any delta
    power: Power
    returns: tuple[ReturnPath, ...]
    basis: str
    despite: tuple[int, ...]
    warnings: tuple[str, ...]
    problems: tuple[str, ...]
    """What makes it impossible; a rollout with problems is refused."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes that each device would fetch."""
    arms: Mapping[str, Drawn] = field(default_factory=dict)
    """Of a comparison, every device that is in it; those of the other arm are in no wave."""
    cohorts: Cohorts = field(default_factory=lambda: Cohorts(waves=()))
    """Who is compared with whom; those held back are in no wave, and follow in the tail."""

    @property
    def longest_s(self) -> float:
        return sum(wave.stage.longest_s for wave in self.waves)

    @property
    def expected_s(self) -> float:
        return sum(wave.stage.expected_s for wave in self.waves)

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "schema": SCHEMA,
            "spec": self.spec.as_json(),
            "salt": self.salt,
            "fingerprint": self.fingerprint,
            "despite": list(self.despite),
            "waves": [_wave_json(wave) for wave in self.waves],
            "devices": sum(len(wave.devices) for wave in self.waves) + len(self.cohorts.held_back),
            "cohorts": cohorts_json(self.cohorts, [wave.name for wave in self.waves]),
            "held_back": list(self.cohorts.held_back),
            "excluded": {device: str(one) for device, one in self.excluded.items()},
            "excluded_by": _reasons(self.excluded),
            "offline": list(self.offline),
            "expected_s": round(self.expected_s, 3),
            "expected_from": self.basis,
            "longest_s": self.longest_s,
            "bytes": self.bytes_to_move,
            "bytes_whole": self.bytes_whole,
            "judge": self.power.sentence,
            "power": self.power.as_json(),
            "returns": [path.as_json() for path in self.returns],
            "warnings": list(self.warnings),
            "problems": list(self.problems),
        }


def make_plan(
    spec: RolloutSpec,
    release: ReleaseFacts,
    candidates: Sequence[Candidate],
    *,
    salt: str,
    bytes_of: BytesOf = lambda _, variant: variant.size_bytes,
    despite: Sequence[int] = (),
    remarks: Sequence[str] = (),
) -> Plan:
    """Equal facts and salt give an equal plan, and an equal fingerprint."""
    excluded, fetches = _sort_out(spec, release, candidates)
    taking = {one.device: one for one in candidates if one.device in fetches}
    spec = replace(spec, waves=fitting(spec.waves, len(taking)))
    order = wave_order({name: one.reachable for name, one in taking.items()}, salt=salt)
    divided = divide(order, {name: one.labels for name, one in taking.items()}, spec.waves)
    moving = {
        name: 0 if one.running_version == spec.release.version else bytes_of(one, fetches[name])
        for name, one in taking.items()
    }
    cohorts = cohorts_of(spec, taking, divided)
    waves = _waves(spec, release, taking, held_out(divided, cohorts), moving, cohorts)
    returns = return_paths(spec, release, taking.values())
    first = len(waves[0].devices) if waves else 0
    return Plan(
        spec=spec,
        salt=salt,
        fingerprint=_fingerprint(spec, release, waves, salt, despite, cohorts),
        waves=waves,
        excluded=excluded,
        offline=tuple(name for name in order if not taking[name].reachable),
        bytes_to_move=sum(moving.values()),
        bytes_whole=sum(fetches[name].size_bytes for name, size in moving.items() if size),
        power=power_of(spec, canaries=first, controls=_controls(cohorts), group=len(order)),
        returns=returns,
        basis=basis(release, list(taking.values())),
        despite=tuple(despite),
        warnings=(*_warnings(spec, returns, len(taking)), *remarks),
        problems=_problems(spec, candidates, excluded, waves),
        sizes=moving,
        cohorts=cohorts,
    )


def _controls(cohorts: Cohorts) -> int:
    """Of the first wave; 0 where counts alone decide."""
    first = cohorts.waves[0] if cohorts.waves else WaveCohort(why_not="there is no wave")
    return len(first.control) if first.compares else 0


def _sort_out(
    spec: RolloutSpec, release: ReleaseFacts, candidates: Sequence[Candidate]
) -> tuple[dict[str, Exclusion], dict[str, VariantFacts]]:
    """(who is left out, what each other device would run)."""
    excluded: dict[str, Exclusion] = {}
    fetches: dict[str, VariantFacts] = {}
    fit = memo_of(release.variants)
    for one in candidates:
        place = place_of(spec, release, one, fit=fit)
        if isinstance(place, Exclusion):
            excluded[one.device] = place
        else:
            fetches[one.device] = place
    return excluded, fetches


def _waves(
    spec: RolloutSpec,
    release: ReleaseFacts,
    taking: Mapping[str, Candidate],
    divided: Sequence[Sequence[str]],
    moving: Mapping[str, int],
    cohorts: Cohorts,
) -> tuple[PlannedWave, ...]:
    found: list[PlannedWave] = []
    before = 0
    for index, (wave, devices) in enumerate(zip(spec.waves, divided, strict=True)):
        size = sum(moving[name] for name in devices)
        members = [taking[name] for name in devices]
        found.append(
            PlannedWave(
                name=wave.name,
                devices=tuple(devices),
                offline=sum(not one.reachable for one in members),
                bytes_to_move=size,
                stage=stage_of(
                    spec,
                    wave,
                    release,
                    members,
                    before=before,
                    moving=size,
                    compares=cohorts.waves[index].compares,
                ),
                gate=_gate(spec, index, cohorts),
            )
        )
        before += len(devices)
    return tuple(found)


def _gate(spec: RolloutSpec, index: int, cohorts: Cohorts) -> str:
    """What must hold before the next wave starts."""
    success = spec.success
    words = f"{success.percent:g} % of executed devices succeed"
    if success.min_succeeded > 1:
        words += f", {success.min_succeeded} at least"
    held = len(cohorts.held_back) if index == len(spec.waves) - 1 else 0
    words += gate_words(cohorts.waves[index], held=held)
    if spec.waves[index].then.value == "pause":
        words += "; then a person resumes it"
    return words


def _fingerprint(
    spec: RolloutSpec,
    release: ReleaseFacts,
    waves: Sequence[PlannedWave],
    salt: str,
    despite: Sequence[int],
    cohorts: Cohorts,
) -> str:
    head: dict[str, JsonValue] = {
        "spec": spec.as_json(),
        "index_sha256": release.index_sha256,
        "salt": salt,
        "despite": sorted(despite),
    }
    digest = hashlib.sha256(encode_canonical(head))
    for wave in waves:  # names hold neither a line break nor a tab
        digest.update("\n".join([f"\t{wave.name}", *wave.devices, ""]).encode())
    digest.update("\n".join(["\theld back", *cohorts.held_back, ""]).encode())
    return digest.hexdigest()


def _warnings(spec: RolloutSpec, returns: Sequence[ReturnPath], taking: int) -> tuple[str, ...]:
    found = return_warnings(spec, returns)
    for i, rule in enumerate(spec.abort):
        if rule.min_executed is not None and rule.min_executed > taking > 0:
            found.append(f"abort[{i}] waits for {rule.min_executed} executed devices, there are {taking}")
    return tuple(found)


def _problems(
    spec: RolloutSpec,
    candidates: Sequence[Candidate],
    excluded: Mapping[str, Exclusion],
    waves: Sequence[PlannedWave],
) -> tuple[str, ...]:
    if not candidates:
        if spec.group:
            return (f"no device is in the group {spec.group}: limosa group show {spec.group}",)
        return (f"no device of the fleet has such labels: {spec.target}",)
    if len(excluded) == len(candidates):
        bad = [one.why for one in excluded.values() if one.kind is LeftOut.KNOWN_BAD]
        if bad:
            return (f"{spec.release} is known to be bad here: {bad[0]}",)
        first = min(excluded)
        return (f"no device can take the release; {first}: {excluded[first]}",)
    # rollouts 3.2: an empty wave would block
    return tuple(f"wave {wave.name} has no device" for wave in waves if not wave.devices)


def _reasons(excluded: Mapping[str, Exclusion]) -> list[JsonValue]:
    """Each reason once, most devices first."""
    counts = Counter((one.kind.value, one.why) for one in excluded.values())
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"kind": kind, "why": why, "devices": count} for (kind, why), count in ordered]


def _wave_json(wave: PlannedWave) -> dict[str, JsonValue]:
    return {
        "name": wave.name,
        "devices": list(wave.devices),
        "offline": wave.offline,
        "bytes": wave.bytes_to_move,
        "gate": wave.gate,
        "expected_s": round(wave.stage.expected_s, 3),
        "longest_s": wave.stage.longest_s,
        **wave.stage.as_json(),
    }

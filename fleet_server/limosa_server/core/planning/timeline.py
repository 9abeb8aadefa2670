"""When each wave would begin and end: as expected from what devices did before, and at the longest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_contracts.rollout.waves import WaveSpec
from limosa_server.core import longest
from limosa_server.core.planning.candidates import Candidate, ReleaseFacts

MOST: Final = 0.9  # a wave is expected to be through when this share of its devices is
MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """All in seconds. `offering_s`: until the rate has let the last device begin; `coming_s`: until MOST
    of its devices have shown up, by their own past; `working_s`: fetch and trial; then it bakes."""

    offering_s: float
    coming_s: float
    working_s: float
    bake_s: float
    longest_s: float

    @property
    def expected_s(self) -> float:
        return self.offering_s + self.coming_s + self.working_s + self.bake_s

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "offering_s": round(self.offering_s, 3),
            "coming_s": round(self.coming_s, 3),
            "working_s": round(self.working_s, 3),
            "bake_s": self.bake_s,
        }


def stage_of(
    spec: RolloutSpec,
    wave: WaveSpec,
    release: ReleaseFacts,
    devices: Sequence[Candidate],
    *,
    before: int,
    moving: int,
    compares: bool,
) -> Stage:
    """`before`: devices of the waves before it; `moving`: bytes that its own fetch together; `compares`:
    whether it bakes beside controls."""
    gaps = sorted(one.gap_s for one in devices if one.gap_s is not None)
    coming = gaps[math.ceil(MOST * len(gaps)) - 1] if gaps else 0.0
    working = release.usual_s if release.usual_s is not None else spec.trial.seconds
    offering = offering_s(spec, len(devices), before=before, moving=moving, working_s=working)
    at_most = longest.on_device_s(spec)
    slowest = offering_s(spec, len(devices), before=0, moving=moving, working_s=at_most)
    return Stage(
        offering_s=offering,
        coming_s=coming,
        working_s=working if devices else 0.0,
        bake_s=wave.bake_s,
        longest_s=slowest + at_most + longest.bake_s(spec, wave.bake_s, compares=compares),
    )


def offering_s(spec: RolloutSpec, devices: int, *, before: int, moving: int, working_s: float) -> float:
    """Until the last of so many may begin: by devices a minute, in turns of max_in_progress, by bytes.

    The first minute's worth is offered at once, so 1,000 devices at 1,000 a minute take no time. An
    exponential rate is taken to grow with every device that was offered the release.
    """
    if not devices:
        return 0.0
    rate = spec.rate
    minutes, left = 0, devices
    while left > 0:
        allowed = rate.per_minute(before + devices - left)
        if allowed >= rate.maximum_per_minute:
            minutes += math.ceil(left / allowed)
            break
        minutes, left = minutes + 1, left - allowed
    by_rate = (minutes - 1) * MINUTE_S
    turns = math.ceil(devices / rate.max_in_progress) - 1 if rate.max_in_progress is not None else 0
    by_bytes = moving / rate.max_bytes_per_second if rate.max_bytes_per_second is not None else 0.0
    return max(by_rate, turns * working_s, by_bytes)


def basis(release: ReleaseFacts, devices: Sequence[Candidate]) -> str:
    """What the expectation rests on, in words."""
    known = sum(one.gap_s is not None for one in devices)
    parts = []
    if release.usual_s is not None:
        parts.append("how long the last rollouts of this model took on a device")
    else:
        parts.append("the trial alone, since no device has taken it in the last rollouts of this model")
    if known:
        parts.append(f"how often {known} of {len(devices)} devices checked in so far")
    else:
        parts.append("devices that are there at once, since nothing is known of their habits")
    return "from " + " and ".join(parts)

"""How long parts of a rollout may take at most, with every clock run down; for plans and for alerts."""

from __future__ import annotations

from limosa_contracts.rollout.analysis import OnInconclusive
from limosa_contracts.rollout.spec import RolloutSpec


def on_device_s(spec: RolloutSpec) -> float:
    """Seconds from the offer to the end of the last attempt on a device that can be reached. Between two
    attempts it waits for a change, for `timeouts.in_progress` at most (core.offers.time_out)."""
    attempt = spec.timeouts.offer_s + spec.timeouts.in_progress_s
    return attempt + spec.retry.attempts * (spec.timeouts.in_progress_s + attempt)


def bake_s(spec: RolloutSpec, wave_bake_s: float, *, compares: bool) -> float:
    """Seconds: a comparison that cannot tell is extended once, by as much again; a shadow waits for rows."""
    extended = compares and spec.on_inconclusive is OnInconclusive.EXTEND
    shadow = spec.modes.shadow
    return wave_bake_s * (2 if extended else 1) + (shadow.wait_s if shadow is not None else 0.0)

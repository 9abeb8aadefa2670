"""Does a release cost here what the compiler promised for this target? (agent 4.1) Pure."""

from __future__ import annotations

from collections.abc import Mapping

from limosa_agent.health.config import HealthLimits
from limosa_contracts.event import Reason
from limosa_contracts.json_value import JsonValue
from limosa_contracts.promise import VariantPromise


def promise_kept(
    promise: VariantPromise, measured: Mapping[str, JsonValue], limits: HealthLimits
) -> Reason | None:
    """None if it is, or if nothing was promised; else `too_slow` or `too_large`.

    `measured` is the evidence of a self-test that passed: `run_us`, the median of one row, and
    `memory_bytes`, the peak above what the runtime alone takes. Worked numbers: promised 4 ms; with the
    defaults 12 ms are still accepted (ratio 3), 12.1 are not; promised 1 ms, 10 ms are (floor).
    """
    run_us, memory = _number(measured, "run_us"), _number(measured, "memory_bytes")
    allowed_us = max(limits.promise_latency_ratio * promise.latency_us, limits.promise_latency_floor_us)
    if promise.latency_us and run_us > allowed_us:
        return _reason(
            "too_slow",
            f"one row takes {run_us / 1000:.1f} ms here, {promise.latency_us / 1000:.1f} ms were promised",
            measured,
            {"promised_us": promise.latency_us, "max_us": allowed_us},
        )
    if 0 < promise.max_latency_us < run_us:
        return _reason(
            "too_slow",
            f"one row takes {run_us / 1000:.1f} ms here, this target takes at most "
            f"{promise.max_latency_us / 1000:g} ms",
            measured,
            {"max_us": promise.max_latency_us},
        )
    return _too_large(promise, memory, measured, limits)


def _too_large(
    promise: VariantPromise, memory: float, measured: Mapping[str, JsonValue], limits: HealthLimits
) -> Reason | None:
    floor = limits.promise_memory_floor_bytes
    allowed = max(limits.promise_memory_ratio * promise.memory_bytes, promise.memory_bytes + floor)
    if promise.memory_bytes and memory > allowed:
        return _reason(
            "too_large",
            f"it takes {memory:.0f} bytes of memory here, {promise.memory_bytes} were promised",
            measured,
            {"promised_memory_bytes": promise.memory_bytes, "max_memory_bytes": round(allowed)},
        )
    if 0 < promise.max_memory_bytes < memory:
        return _reason(
            "too_large",
            f"it takes {memory:.0f} bytes of memory here, this target takes at most "
            f"{promise.max_memory_bytes}",
            measured,
            {"max_memory_bytes": promise.max_memory_bytes},
        )
    return None


def _reason(
    code: str, message: str, measured: Mapping[str, JsonValue], limit: Mapping[str, JsonValue]
) -> Reason:
    return Reason(code=code, message=message, evidence={**measured, **limit})


def _number(measured: Mapping[str, JsonValue], name: str) -> float:
    value = measured.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0

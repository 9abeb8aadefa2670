"""The self-test against the compiler's promise for this target (agent 4.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.health.config import LIMITS
from limosa_agent.health.promise_kept import promise_kept
from limosa_contracts.promise import VariantPromise

MIB = 1024**2


@pytest.mark.parametrize(
    ("promise", "run_us", "memory", "code"),
    [
        (VariantPromise(), 9e9, 2**40, None),
        (VariantPromise(latency_us=4000), 12_000, 0, None),
        (VariantPromise(latency_us=4000), 12_100, 0, "too_slow"),
        (VariantPromise(latency_us=100), 9_000, 0, None),
        (VariantPromise(max_latency_us=5000), 5_001, 0, "too_slow"),
        (VariantPromise(latency_us=4000, max_latency_us=5000), 5_001, 0, "too_slow"),
        (VariantPromise(memory_bytes=10 * MIB), 0, 42 * MIB, None),
        (VariantPromise(memory_bytes=10 * MIB), 0, 43 * MIB, "too_large"),
        (VariantPromise(memory_bytes=200 * MIB), 0, 299 * MIB, None),
        (VariantPromise(memory_bytes=200 * MIB), 0, 301 * MIB, "too_large"),
        (VariantPromise(max_memory_bytes=64 * MIB), 0, 65 * MIB, "too_large"),
    ],
)
def test_promise(promise: VariantPromise, run_us: float, memory: int, code: str | None) -> None:
    reason = promise_kept(promise, {"run_us": run_us, "memory_bytes": memory}, LIMITS)
    assert (reason.code if reason else None) == code
    if reason is not None:
        assert reason.evidence["run_us"] == run_us
        assert {"max_us", "max_memory_bytes"} & set(reason.evidence)


@given(st.integers(1, 10**9), st.integers(1, 2**40))
def test_what_costs_what_was_promised_is_never_refused(run_us: int, memory: int) -> None:
    promise = VariantPromise(latency_us=run_us, memory_bytes=memory)
    assert promise_kept(promise, {"run_us": run_us, "memory_bytes": memory}, LIMITS) is None


def test_what_was_not_measured_breaks_no_promise() -> None:
    promise = VariantPromise(latency_us=1, memory_bytes=1, max_latency_us=1, max_memory_bytes=1)
    assert promise_kept(promise, {}, LIMITS) is None

"""What a target is promised, and what its limits are held against (compiler 2.9, 6)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limosa_compiler.choice.promises import Promise, promise_of, to_devices, unchecked_limits
from limosa_contracts.profiles import Profile, ProfileLimits, load_profiles
from limosa_contracts.promise import VariantPromise
from tests.compiler.choice.test_choose import measured

X86 = {"architecture": "x86_64", "cpu_features": "avx2,vnni"}
CHOSEN = replace(measured("int8", size=300, ratio=0.5), memory_bytes=5000, load_ms=2.0)


def limited(name: str, **limits: float) -> Profile:
    return replace(load_profiles()[name], limits=ProfileLimits(**limits))  # type: ignore[arg-type]  # bytes are whole here


def test_times_are_promised_only_on_the_class_of_machine_they_were_measured_on() -> None:
    near = promise_of(CHOSEN, limited("n100"), files_bytes=900, machine=X86)
    far = promise_of(CHOSEN, limited("rpi4"), files_bytes=900, machine=X86)
    assert (near.latency_us, near.load_ms, near.memory_bytes) == (50.0, 2.0, 5000)
    assert (far.latency_us, far.load_ms, far.memory_bytes) == (None, None, 5000)
    assert "not of the target's class" in far.basis
    assert far.latency_ratio == 0.5


def test_machine_with_fewer_or_more_features_than_the_target_is_not_of_its_class() -> None:
    plain = {"architecture": "x86_64", "cpu_features": "avx2"}
    assert promise_of(CHOSEN, limited("n100"), files_bytes=1, machine=X86).latency_us is not None
    assert promise_of(CHOSEN, limited("n100"), files_bytes=1, machine=plain).latency_us is None
    assert promise_of(CHOSEN, limited("generic-x86-64"), files_bytes=1, machine=X86).latency_us is None


@pytest.mark.parametrize(
    "limits, says",
    [
        ({"artifact_bytes": 899}, "900 bytes, it takes at most 899"),
        ({"memory_bytes": 4999}, "5000 bytes of memory, it takes at most 4999"),
        ({"latency_ms": 0.04}, "0.05 ms, it takes at most 0.04 ms"),
    ],
)
def test_limit_that_is_not_kept_is_named(limits: dict[str, float], says: str) -> None:
    promise = promise_of(CHOSEN, limited("n100", **limits), files_bytes=900, machine=X86)
    assert promise.broken == (says,)


def test_limit_of_time_is_not_held_against_another_machine_and_that_is_said() -> None:
    far = promise_of(CHOSEN, limited("rpi4", latency_ms=0.001), files_bytes=900, machine=X86)
    assert far.broken == ()
    (warning,) = unchecked_limits([far])
    assert "rpi4: not checked, its limit of 0.001 ms" in warning
    blind = promise_of(
        replace(CHOSEN, memory_bytes=None), limited("rpi4", memory_bytes=1), files_bytes=1, machine=X86
    )
    assert blind.broken == ()
    assert "memory was not measured" in unchecked_limits([blind])[0]


def test_promise_survives_writing_and_reading() -> None:
    for name in ("generic-x86-64", "rpi4"):
        promise = promise_of(CHOSEN, load_profiles()[name], files_bytes=900, machine=X86)
        assert Promise.parse(promise.as_json(), where="p") == promise


def test_devices_are_told_whole_numbers_by_variant_and_the_target_s_own_limits() -> None:
    near = promise_of(CHOSEN, limited("n100", latency_ms=0.0505), files_bytes=900, machine=X86)
    far = promise_of(CHOSEN, limited("rpi4", memory_bytes=7), files_bytes=900, machine=X86)
    assert to_devices([near, far]) == {
        "n100": VariantPromise(latency_us=50, memory_bytes=5000, max_latency_us=51),
        "rpi4": VariantPromise(memory_bytes=5000, max_memory_bytes=7),
    }

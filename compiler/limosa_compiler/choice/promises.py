"""What a variant is promised to cost on its target, from what was measured (compiler 2.9, 6). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from limosa_compiler.measuring.measure import Measured
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.profiles import Profile, ProfileLimits
from limosa_contracts.promise import VariantPromise

_BYTES_MAX: Final = 2**50


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """Of one variant on one target. Bytes and memory hold there; time is a ratio, which says on what.

    `artifact_bytes` are all files of the variant; `memory_bytes` the peak above what the runtime alone
    takes, None if it was not measured; `latency_us` is there only if the building machine is of the
    target's class (its architecture, and just its CPU features).
    """

    target: str
    candidate: str
    artifact_bytes: int
    memory_bytes: int | None
    load_ms: float | None
    latency_ratio: float  # to fp32
    latency_us: float | None
    basis: str  # of time and memory, in words
    limits: ProfileLimits

    @property
    def broken(self) -> tuple[str, ...]:
        """The target's limits that are not kept, in words."""
        limits, found = self.limits, []
        if limits.artifact_bytes and self.artifact_bytes > limits.artifact_bytes:
            found.append(f"{self.artifact_bytes} bytes, it takes at most {limits.artifact_bytes}")
        if limits.memory_bytes and (self.memory_bytes or 0) > limits.memory_bytes:
            found.append(f"{self.memory_bytes} bytes of memory, it takes at most {limits.memory_bytes}")
        if limits.latency_ms and (self.latency_us or 0) > limits.latency_ms * 1e3:
            found.append(f"{(self.latency_us or 0) / 1e3:.3g} ms, it takes at most {limits.latency_ms:g} ms")
        return tuple(found)

    @property
    def unchecked(self) -> tuple[str, ...]:
        """The target's limits that could not be checked, in words."""
        found = []
        if self.limits.memory_bytes and self.memory_bytes is None:
            found.append("its limit of memory: memory was not measured")
        if self.limits.latency_ms and self.latency_us is None:
            found.append(f"its limit of {self.limits.latency_ms:g} ms: {self.basis}")
        return tuple(found)

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "target": self.target,
            "candidate": self.candidate,
            "artifact_bytes": self.artifact_bytes,
            "memory_bytes": self.memory_bytes,
            "load_ms": self.load_ms,
            "latency_ratio": self.latency_ratio,
            "latency_us": self.latency_us,
            "basis": self.basis,
            "limits": self.limits.as_json(),
        }

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Promise:
        """Raises InvalidField."""
        fields = Fields(value, where=where)
        return cls(
            target=fields.text("target"),
            candidate=fields.text("candidate", max_chars=128),
            artifact_bytes=fields.integer("artifact_bytes", low=0, high=_BYTES_MAX),
            memory_bytes=fields.maybe("memory_bytes", lambda n: fields.integer(n, low=0, high=_BYTES_MAX)),
            load_ms=fields.maybe("load_ms", lambda n: fields.number(n, low=0)),
            latency_ratio=fields.number("latency_ratio", low=0),
            latency_us=fields.maybe("latency_us", lambda n: fields.number(n, low=0)),
            basis=fields.text("basis"),
            limits=ProfileLimits.parse(fields.fields("limits")),
        )


def promise_of(
    chosen: Measured, profile: Profile, *, files_bytes: int, machine: Mapping[str, str]
) -> Promise:
    """`files_bytes`: all files of the variant. `machine`: as evidence has it, of the building machine."""
    same = _same_class(profile, machine)
    here = f"{machine.get('architecture', '?')} ({machine.get('cpu_features') or 'no features known'})"
    return Promise(
        target=profile.name,
        candidate=chosen.name,
        artifact_bytes=files_bytes,
        memory_bytes=chosen.memory_bytes,
        load_ms=chosen.load_ms if same else None,
        latency_ratio=chosen.latency.ratio,
        latency_us=chosen.latency.median_us if same else None,
        basis=(
            f"measured on {here}, which is of the target's class"
            if same
            else f"measured on {here}, which is not of the target's class: times are not promised there"
        ),
        limits=profile.limits,
    )


def unchecked_limits(promises: Sequence[Promise]) -> tuple[str, ...]:
    """Warnings: limits of targets that nothing was held against."""
    return tuple(
        f"{promise.target}: not checked, {said}" for promise in promises for said in promise.unchecked
    )


def to_devices(promises: Sequence[Promise]) -> dict[str, VariantPromise]:
    """What devices hold their self-test against; variants are named after their targets."""
    return {
        promise.target: VariantPromise(
            latency_us=ceil(promise.latency_us or 0),
            memory_bytes=promise.memory_bytes or 0,
            max_latency_us=ceil(promise.limits.latency_ms * 1e3),
            max_memory_bytes=promise.limits.memory_bytes,
        )
        for promise in promises
    }


def _same_class(profile: Profile, machine: Mapping[str, str]) -> bool:
    """Neither fewer features nor more: with VNNI, int8 is faster than it is on a device without."""
    features = set(filter(None, machine.get("cpu_features", "").split(",")))
    return machine.get("architecture") in profile.architectures and set(profile.cpu_features) == features

"""Device profiles of one's own: how a first one is written, and what is checked about it. Pure.

A profile is read by people who must believe it: each figure says where it is from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from limosa_contracts.profiles import PRECISIONS, SCHEMA, Profile, ProfileLimits, RuntimeNeed

FEATURES_OF_ARCHITECTURE: Final[Mapping[str, tuple[str, ...]]] = {
    "x86_64": ("avx2", "vnni"),
    "aarch64": ("neon", "dotprod", "fp16"),
    "armv7l": ("neon",),
}
SOURCED: Final = ("cores", "memory_bytes", "storage_bytes", "cpu_features", "limits")
"""Figures that a profile must say the source of."""
MEMORY_SHARE: Final = 4  # a model takes at most this part of the memory, where nothing else is known
ARTIFACT_SHARE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """What a machine says of itself."""

    architecture: str  # platform.machine()
    cpu_features: tuple[str, ...]
    cores: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`serious`: a build for this profile would ship what its devices refuse, or cannot hold."""

    serious: bool
    text: str


def draft_profile(name: str, machine: MachineFacts) -> Profile:
    """A profile of machines like this one, to be corrected by who knows them."""
    here = "the machine on which this file was made"
    features = tuple(item for item in machine.cpu_features if _fits(item, machine.architecture))
    return Profile(
        name=name,
        title=f"{name}: say what it is",
        architectures=(machine.architecture,),
        cpu_features=features,
        accelerators=(),
        cores=machine.cores,
        memory_bytes=machine.memory_bytes,
        storage_bytes=0,
        runtimes=(
            RuntimeNeed(
                name="onnxruntime", min_version="1.17", execution_providers=("CPUExecutionProvider",)
            ),
        ),
        precisions=("int8", "fp16", "fp32") if "fp16" in features else ("int8", "fp32"),
        limits=ProfileLimits(
            memory_bytes=machine.memory_bytes // MEMORY_SHARE,
            artifact_bytes=machine.memory_bytes // ARTIFACT_SHARE,
        ),
        source={
            "cores": here,
            "memory_bytes": here,
            "storage_bytes": "not assumed",
            "cpu_features": here,
            "limits": "our choice: a quarter of the memory for one model, an eighth for its file",
        },
    )


def profile_text(profile: Profile) -> str:
    """A profile as the file that is read again, with what its figures mean beside them.

    >>> facts = MachineFacts(architecture="aarch64", cpu_features=("neon",), cores=4, memory_bytes=2**30)
    >>> drafted = draft_profile("kiosk", facts)
    >>> Profile.parse(profile_text(drafted), where="kiosk.toml") == drafted
    True
    """
    known = sorted(
        {item for name in profile.architectures for item in FEATURES_OF_ARCHITECTURE.get(name, ())}
    )
    lines = [
        f"# A device profile: limosa target check {profile.name}.toml",
        f"schema = {_value(SCHEMA)}",
        f"name = {_value(profile.name)}",
        f"title = {_value(profile.title)}",
        f"architectures = {_value(profile.architectures)}",
        _noted(f"cpu_features = {_value(profile.cpu_features)}", f"that every one has; of {known}"),
        _noted(f"accelerators = {_value(profile.accelerators)}", "such as edgetpu, npu, cuda"),
        f"cores = {profile.cores}",
        f"memory_bytes = {profile.memory_bytes:_}",
        _noted(f"storage_bytes = {profile.storage_bytes:_}", "0: whatever is plugged in"),
        _noted(
            f"precisions = {_value(profile.precisions)}", "that may be chosen; of " + ", ".join(PRECISIONS)
        ),
    ]
    for need in profile.runtimes:
        lines += [
            "",
            "[[runtimes]]",
            f"name = {_value(need.name)}",
            f"min_version = {_value(need.min_version)}",
            f"execution_providers = {_value(need.execution_providers)}",
        ]
    limits = profile.limits
    lines += [
        "",
        _noted("[limits]", "of one model; 0 sets none"),
        f"memory_bytes = {limits.memory_bytes:_}",
        f"artifact_bytes = {limits.artifact_bytes:_}",
        f"latency_ms = {limits.latency_ms}",
        "",
        _noted("[source]", "who reads this in a year must believe it"),
        *(f"{name} = {_value(text)}" for name, text in profile.source.items()),
    ]
    return "\n".join(lines) + "\n"


def findings(profile: Profile) -> tuple[Finding, ...]:
    """What is wrong with a profile that parses."""
    found: list[Finding] = []
    for feature in profile.cpu_features:
        wrong = [item for item in profile.architectures if not _fits(feature, item)]
        found += [Finding(serious=True, text=f"{item} has no {feature}") for item in wrong]
    if profile.limits.memory_bytes > profile.memory_bytes:
        found.append(
            Finding(serious=True, text="limits.memory_bytes is more than the device has: memory_bytes")
        )
    if profile.storage_bytes and profile.limits.artifact_bytes * 2 > profile.storage_bytes:
        found.append(
            Finding(
                serious=True,
                text="limits.artifact_bytes: two slots of that size do not fit into storage_bytes (agent 3)",
            )
        )
    if "fp16" in profile.precisions and "fp16" not in profile.cpu_features and not profile.accelerators:
        found.append(
            Finding(serious=False, text="fp16 without the CPU feature: smaller, but slower than fp32 there")
        )
    missing = [name for name in SOURCED if name not in profile.source]
    found += [Finding(serious=False, text=f"[source] does not say where {name} is from") for name in missing]
    if not profile.limits.memory_bytes:
        found.append(Finding(serious=False, text="limits.memory_bytes is not set: any model fits"))
    return tuple(found)


def differences(profile: Profile, machine: MachineFacts) -> tuple[str, ...]:
    """Why this machine is no such device; empty if it could be one."""
    found: list[str] = []
    if machine.architecture not in profile.architectures:
        found.append(f"architecture {machine.architecture}, not {' or '.join(profile.architectures)}")
    lacking = sorted(set(profile.cpu_features) - set(machine.cpu_features))
    if lacking:
        found.append(f"the CPU lacks {', '.join(lacking)}")
    if machine.cores < profile.cores:
        found.append(f"{machine.cores} cores, not {profile.cores}")
    if machine.memory_bytes < profile.memory_bytes * 0.85:  # firmware and kernel keep some to themselves
        found.append(f"{machine.memory_bytes} bytes of memory, not {profile.memory_bytes}")
    return tuple(found)


def _fits(feature: str, architecture: str) -> bool:
    return feature in FEATURES_OF_ARCHITECTURE.get(architecture, ())


def _value(value: str | Sequence[str]) -> str:
    """As TOML writes it; JSON's escapes are TOML's, but for DEL."""
    given: str | list[str] = value if isinstance(value, str) else list(value)
    return json.dumps(given, ensure_ascii=False).replace("\x7f", "\\u007f")


def _noted(line: str, note: str) -> str:
    return f"{line:<31} # {note}"

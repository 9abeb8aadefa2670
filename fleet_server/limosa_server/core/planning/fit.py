"""Whether a device can run a variant, by what it last said of itself (agent 2.1, rollouts 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from limosa_contracts.json_value import JsonValue
from limosa_contracts.oci import Requirements


def why_not(
    requires: Requirements, capabilities: Mapping[str, JsonValue], resources: Mapping[str, JsonValue]
) -> str:
    """The first requirement that is not met, "" if all are.

    What a device never reported is not held against it.
    """
    arch = capabilities.get("arch")
    if requires.architectures and isinstance(arch, str) and arch not in requires.architectures:
        return f"needs {' or '.join(requires.architectures)}, it is {arch}"
    features = capabilities.get("cpu_features")
    if isinstance(features, (list, tuple)):
        missing = [name for name in requires.cpu_features if name not in features]
        if missing:
            return f"its CPU lacks {', '.join(missing)}"
    runtimes = capabilities.get("runtimes")
    if isinstance(runtimes, Mapping):
        has = runtimes.get(requires.runtime)
        if not isinstance(has, str):
            return f"it has no {requires.runtime}"
        if requires.runtime_min and version_numbers(has) < version_numbers(requires.runtime_min):
            return f"needs {requires.runtime} {requires.runtime_min}, it has {has}"
    memory = capabilities.get("memory_bytes")
    if isinstance(memory, (int, float)) and memory < requires.memory_bytes:
        return f"needs {requires.memory_bytes} bytes of memory, it has {int(memory)}"
    disk = resources.get("disk_free_bytes")
    if isinstance(disk, (int, float)) and disk < requires.disk_bytes:
        return f"needs {requires.disk_bytes} bytes of disk, {int(disk)} are free"
    return ""


def best_variant(
    variants: Sequence[tuple[str, Requirements]],
    capabilities: Mapping[str, JsonValue],
    resources: Mapping[str, JsonValue],
) -> tuple[int | None, str]:
    """Place of the first variant that fits, best first; else None and why the last did not."""
    reason = "the release has no variants"
    for place, (name, requires) in enumerate(variants):
        found = why_not(requires, capabilities, resources)
        if not found:
            return place, ""
        reason = f"{name}: {found}"
    return None, reason


@lru_cache(maxsize=4096)  # a fleet has few versions, and a plan looks at each device
def version_numbers(text: str) -> tuple[int, ...]:
    """For an order of what devices report, which need not be a version of ours.

    >>> version_numbers("1.20.0rc1") > version_numbers("1.9")
    True
    """
    numbers = []
    for part in text.split("."):
        digits = "".join(char for char in part if char.isdigit())
        numbers.append(int(digits) if digits else 0)
    return tuple(numbers)

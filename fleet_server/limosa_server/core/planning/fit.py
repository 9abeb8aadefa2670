"""Whether a device can run a variant, by what it last said of itself (agent 2.1, rollouts 4)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from limosa_contracts.json_value import JsonValue
from limosa_contracts.oci import Requirements

LITERT: Final = "litert"
OLDER_LITERT: Final = "tflite"  # runs .tflite files too, and is older than any LiteRT (agent 5.3)
SAID_MAX_CHARS: Final = 64  # of a version or an architecture that a device reports
_NUMBERS: Final = re.compile(r"(\d{1,64})(?:\.(\d{1,64}))?(?:\.(\d{1,64}))?")  # more, and int() may refuse


def why_not(
    requires: Requirements, capabilities: Mapping[str, JsonValue], resources: Mapping[str, JsonValue]
) -> str:
    """The first requirement that is not met, "" if all are; by the rules of the device's own choice.

    What a device never reported is not held against it.
    """
    arch = capabilities.get("arch")
    if requires.architectures and isinstance(arch, str) and arch not in requires.architectures:
        return f"needs {' or '.join(requires.architectures)}, it is {arch[:SAID_MAX_CHARS]}"
    missing = _missing(requires.cpu_features, capabilities.get("cpu_features"))
    if missing:
        return f"its CPU lacks {missing}"
    missing = _missing(requires.accelerators, capabilities.get("accelerators"))
    if missing:
        return f"it has no {missing}"
    runtimes = capabilities.get("runtimes")
    if isinstance(runtimes, Mapping):
        has = _version(runtimes, requires.runtime)
        if has is None:
            return f"it has no {requires.runtime}"
        if requires.runtime_min and version_numbers(has) < version_numbers(requires.runtime_min):
            return f"needs {requires.runtime} {requires.runtime_min}, it has {has}"
    memory = capabilities.get("memory_bytes")
    if isinstance(memory, (int, float)) and 0 < memory < requires.memory_bytes:
        return f"needs {requires.memory_bytes} bytes of memory, it has {int(memory)}"
    disk = resources.get("disk_free_bytes")
    if isinstance(disk, (int, float)) and disk < requires.disk_bytes:
        return f"needs {requires.disk_bytes} bytes of disk, {int(disk)} are free"
    return ""


def _missing(needed: Sequence[str], has: JsonValue) -> str:
    """In words; "" also where the device has not said what it has."""
    if not isinstance(has, (list, tuple)):
        return ""
    return ", ".join(name for name in needed if name not in has)


def _version(runtimes: Mapping[str, JsonValue], wanted: str) -> str | None:
    """Of this runtime; None where the device has neither it nor what stands for it."""
    has = runtimes.get(wanted)
    if has is None and wanted == LITERT and OLDER_LITERT in runtimes:
        return "0"
    return has[:SAID_MAX_CHARS] if isinstance(has, str) else None


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
    """The numbers of a version, for an order of what devices report; what follows them is not ordered.

    >>> version_numbers("1.20.0rc1") > version_numbers("1.9"), version_numbers("1.20")
    (True, (1, 20, 0))
    """
    found = _NUMBERS.match(text)
    return tuple(int(number or 0) for number in found.groups()) if found else (0, 0, 0)

"""What this device has, for the choice of a variant (agent 2.1): read from the system once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from limosa_agent.installed import installed_version
from limosa_agent.resident import rss_bytes
from limosa_contracts.json_value import JsonValue

RUNTIMES: Final = {
    "onnxruntime": "onnxruntime",
    "litert": "ai-edge-litert",
    "tflite": "tflite-runtime",
}
"""Name in a variant's requirements -> distribution that brings it."""


def read_capabilities(*, profile: str, accelerators: Sequence[str] = ()) -> dict[str, JsonValue]:
    """arch, cpu_features, runtimes, accelerators, memory_bytes, cpus, profile.

    `accelerators`: as agent.toml says; there is no way to find all of them out.
    """
    return {
        "arch": os.uname().machine,
        "cpu_features": list(cpu_features()),
        "runtimes": runtimes(),
        "accelerators": sorted(accelerators),
        "memory_bytes": memory_bytes(),
        "cpus": os.cpu_count() or 1,
        "profile": profile,
    }


def runtimes() -> dict[str, JsonValue]:
    found = {name: installed_version(distribution) for name, distribution in RUNTIMES.items()}
    return {name: version for name, version in found.items() if version is not None}


def cpu_features() -> tuple[str, ...]:
    """Flags of the first core as Linux names them; empty where it does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ()  # not Linux
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return tuple(sorted(set(value.split())))[:512]
    return ()


def memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def resources(state_dir: Path) -> dict[str, JsonValue]:
    """disk_free_bytes of the state folder's disk, rss_bytes of this process."""
    stat = os.statvfs(state_dir)
    return {"disk_free_bytes": stat.f_bavail * stat.f_frsize, "rss_bytes": rss_bytes()}

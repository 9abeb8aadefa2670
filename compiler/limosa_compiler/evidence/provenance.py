"""What a build was made with and from: what repeats goes into the manifest, the rest into evidence."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

from limosa_compiler.recipe import Recipe
from limosa_contracts.canonical import encode_canonical
from limosa_contracts.cpu_features import features_of_flags
from limosa_contracts.json_value import JsonValue

TOOLS: Final = ("limosa", "numpy", "onnx", "onnxruntime")
_CPUINFO: Final = Path("/proc/cpuinfo")


def tools() -> dict[str, str]:
    """Versions of what decides about bytes."""
    return {name: version(name) for name in TOOLS}


def machine() -> dict[str, str]:
    """On what was measured."""
    return {
        "architecture": platform.machine(),
        "cpu_features": ",".join(sorted(cpu_features())),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def cpu_features() -> frozenset[str]:
    """Of this machine; empty where the kernel does not tell."""
    if not _CPUINFO.exists():
        return frozenset()
    for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return features_of_flags(value.split())
    return frozenset()


def build_facts(recipe: Recipe) -> dict[str, JsonValue]:
    """The recipe's decisions that the choice rests on."""
    pruning: dict[str, JsonValue] = {"prune": recipe.prune.as_json()} if recipe.prune else {}
    return {
        **pruning,
        "metric": recipe.metric,
        "tune_share": recipe.tune_share,
        "gate": recipe.gate.as_json(),
        "prefer": recipe.prefer.value,
        "search": recipe.search.as_json(),
    }


def manifest_annotations(recipe: Recipe, *, candidate: str, inputs: Mapping[str, str]) -> dict[str, str]:
    """Deterministic: the same recipe, inputs and tools give the same text (compiler 6.2)."""
    licenses = recipe.about.get("licenses")
    said = {
        "dev.limosa.candidate": candidate,
        "dev.limosa.tools": encode_canonical(dict(tools())).decode(),
        "dev.limosa.inputs": encode_canonical(dict(inputs)).decode(),
        "dev.limosa.decision": encode_canonical(build_facts(recipe)).decode(),
        "org.opencontainers.image.title": str(recipe.release.name),
        "org.opencontainers.image.version": recipe.release.version,
    }
    if isinstance(licenses, list):
        said["org.opencontainers.image.licenses"] = " AND ".join(str(item) for item in licenses)
    return said | {f"dev.limosa.lineage.{key}": text for key, text in recipe.lineage.texts.items()}

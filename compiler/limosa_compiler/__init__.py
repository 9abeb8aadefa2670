"""A trained model in, a signed artifact out.

from limosa_compiler import build
result = build("limosa.toml", folder="dist")
result.chosen["rpi4"].size
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limosa_compiler.api import build
    from limosa_compiler.building import BuildResult
    from limosa_compiler.choice.choose import Choice, Verdict
    from limosa_compiler.evidence.evidence import Evidence
    from limosa_compiler.measuring.measure import Measured
    from limosa_compiler.recipe import Gate, Recipe, read_recipe

# From 1.31 on, onnxruntime sends usage telemetry from Linux too, and leaves a session file in the temporary
# folder. Nothing goes out that the operator did not ask for (telemetry 1); it must be said before import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "BuildResult",
    "Choice",
    "Evidence",
    "Gate",
    "Measured",
    "Recipe",
    "Verdict",
    "build",
    "read_recipe",
]

_HOME = {
    "BuildResult": "limosa_compiler.building",
    "build": "limosa_compiler.api",
    "Choice": "limosa_compiler.choice.choose",
    "Verdict": "limosa_compiler.choice.choose",
    "Evidence": "limosa_compiler.evidence.evidence",
    "Measured": "limosa_compiler.measuring.measure",
    "Gate": "limosa_compiler.recipe",
    "Recipe": "limosa_compiler.recipe",
    "read_recipe": "limosa_compiler.recipe",
}


def __getattr__(name: str) -> object:
    """Imports onnx and onnxruntime only when they are used: the command line stays fast."""
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)

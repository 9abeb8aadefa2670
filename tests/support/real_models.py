"""Real models that tests need: skipped loudly on a laptop, a failure when CI=true."""

from __future__ import annotations

from pathlib import Path

from benchmarks.real_models import Unobtainable, model_path
from tests.support.programs import unavailable


def require_model(name: str) -> Path:
    """The model's path; where it cannot be had, the test is skipped, or fails when CI=true."""
    try:
        return model_path(name)
    except Unobtainable as missing:
        unavailable(str(missing))

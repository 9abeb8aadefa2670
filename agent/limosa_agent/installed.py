"""Versions of installed distributions, without importlib.metadata and the 1 MB it costs (agent 1)."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def installed_version(distribution: str) -> str | None:
    """From the name of its `*.dist-info` folder on the module path; None where there is none."""
    name = re.sub(r"[-_.]+", "_", distribution).lower()
    for place in sys.path:
        folder = Path(place or ".")
        if not folder.is_dir():
            continue
        for info in folder.glob("*.dist-info"):
            found, _, version = info.name.removesuffix(".dist-info").partition("-")
            if re.sub(r"[-_.]+", "_", found).lower() == name and version:
                return version
    return None

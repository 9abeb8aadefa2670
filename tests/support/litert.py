"""The LiteRT toolchain for tests: installed once for the machine, beside other cached things.

It needs a Python of 3.12 or newer and pip's package index. Where it cannot be had, the test is skipped
loudly, or fails when CI=true.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from limosa_compiler.errors import NoPython, ToolchainFailed
from limosa_compiler.litert.check import check
from limosa_compiler.litert.toolchain import Toolchain, install, toolchains_folder
from tests.support.programs import unavailable


def data_home() -> Path:
    """For XDG_DATA_HOME: the user's own toolchain is neither used nor touched."""
    cached = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cached) if cached else Path.home() / ".cache") / "limosa" / "test-data"


def require_toolchain() -> Toolchain:
    """Processes that ask at the same time wait for the first one's install."""
    found = _installed()
    if isinstance(found, str):
        unavailable(f"LiteRT's toolchain cannot be had: {found}")
    return found


@cache
def _installed() -> Toolchain | str:
    try:
        return install(check=check, root=toolchains_folder({"XDG_DATA_HOME": str(data_home())}))
    except (NoPython, ToolchainFailed) as missing:
        return str(missing)

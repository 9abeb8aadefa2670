"""Server programs that tests need: skipped loudly on a laptop, a failure when CI=true."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import NoReturn

import pytest

PTRACE = "ptrace: "
"""Begins the one reason to skip that also holds where CI=true: the kernel forbids tracing."""
SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true")


def require_program(name: str) -> str:
    """The program's path; where there is none, the test is skipped, or fails when CI=true."""
    found = shutil.which(name, path=SEARCHED)
    return found or unavailable(f"{name} is not installed (apt-get install {name})")


def require_strace() -> str:
    """The path of strace, where the kernel lets a process be traced."""
    strace = require_program("strace")
    tried = subprocess.run(
        [strace, "-f", "-o", os.devnull, "true"], capture_output=True, text=True, timeout=30, check=False
    )
    if tried.returncode != 0:
        pytest.skip(f"{PTRACE}the kernel forbids it: {tried.stderr.strip()[:200]}")
    return strace


def unavailable(reason: str) -> NoReturn:
    """Something outside this repository cannot be had."""
    if in_ci():
        pytest.fail(f"CI=true, and {reason}")
    pytest.skip(reason)

"""Waiting for a fact instead of sleeping."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = float(os.environ.get("LIMOSA_TEST_PATIENCE", "1"))
"""Multiplies every deadline, for slow machines."""


def wait_until(
    predicate: Callable[[], T], *, timeout_s: float, what: str | Callable[[], str], every_s: float = 0.02
) -> T:
    """The first truthy value of `predicate`; AssertionError names `what` did not happen in time."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"did not happen within {timeout_s * PATIENCE:g} s: {said}")
        time.sleep(every_s)

"""The whole self-test of a candidate: its golden vectors, then what it costs here (agent 4.1)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from limosa_agent.fetch.slots import RELEASE_FILE, InstalledRelease
from limosa_agent.health.config import HealthLimits
from limosa_agent.health.promise_kept import promise_kept
from limosa_agent.serving.self_test import SelfTestResult
from limosa_contracts.errors import LimosaError
from limosa_contracts.event import Reason
from limosa_contracts.promise import VariantPromise

log = logging.getLogger(__name__)


async def self_tested(
    directory: str, run: Callable[[], Awaitable[SelfTestResult]], limits: HealthLimits
) -> Reason | None:
    """Why the release in this folder may not serve; None if it may.

    What is too slow is measured again: another process may have had the processor. Golden vectors that
    fail are not tried again, and of memory there is never less. Raises what `run` raises.
    """
    promise = promised(Path(directory))
    tries = 0
    while True:
        result, tries = await run(), tries + 1
        if not result.ok:
            return Reason(code=result.reason_code, message=result.message, evidence=dict(result.evidence))
        reason = promise_kept(promise, result.evidence, limits)
        if reason is None or reason.code != "too_slow" or tries >= limits.promise_tries:
            return reason
        log.info("the self-test is repeated: %s", reason.message)


def promised(directory: Path) -> VariantPromise:
    """As the team signed it for this variant; nothing where the slot does not say."""
    try:
        return InstalledRelease.parse((directory / RELEASE_FILE).read_bytes()).promise
    except (OSError, LimosaError) as error:
        log.warning("no promise is read for %s: %s", directory.name[:12], error)
        return VariantPromise()

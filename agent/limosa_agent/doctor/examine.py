"""Every check, in the order in which one depends on the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from limosa_agent.config import AgentConfig
from limosa_agent.doctor import device_checks, link_checks, probe_checks
from limosa_agent.doctor.finding import Check, Finding, note, wrong
from limosa_agent.errors import NotEnrolled
from limosa_contracts.errors import LimosaError

CHECKS: Final[tuple[Check, ...]] = (
    device_checks.clock,
    device_checks.disk,
    device_checks.writing,
    device_checks.permissions,
    device_checks.memory,
    device_checks.runtime,
    probe_checks.probes,
    link_checks.identity,
    link_checks.certificate,
    link_checks.proxy,
    link_checks.server,
    link_checks.account,
    link_checks.broker,
    device_checks.service,
    link_checks.agent,
)


def examine(config: AgentConfig) -> Iterator[Finding]:
    """One finding per check; changes nothing on the device. That it is not enrolled is told once."""
    for check in CHECKS:
        try:
            yield check(config)
        except NotEnrolled as error:
            if check is link_checks.identity:
                yield wrong(check.__name__, str(error), error.hint)
            else:
                yield note(check.__name__, "is looked at when the device is enrolled", "")
        except LimosaError as error:
            yield wrong(check.__name__, str(error), error.hint)
        except (OSError, ValueError) as error:
            yield wrong(
                check.__name__, f"{type(error).__name__}: {error}", "check the path and who may use it"
            )

"""What a source found: one cause, however many devices it has (telemetry 6.3)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from limosa_contracts.canonical import encode_canonical
from limosa_server.core.alerts.rules import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`labels` name the cause and are what it is deduplicated by; `capped`: there are more than `count`.

    `severity` None leaves it to the rule.
    """

    labels: Mapping[str, str]
    summary: str
    detail: str = ""
    count: int = 1
    capped: bool = False
    devices: tuple[str, ...] = ()
    link: str = "/alerts"
    severity: Severity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One rule's findings. A rule that could not be looked at (`failed`) resolves nothing."""

    rule: str
    findings: tuple[Finding, ...] = field(default=())
    failed: bool = False


def fingerprint(rule: str, labels: Mapping[str, str]) -> str:
    """The same for the same rule and cause, 32 hex digits."""
    return hashlib.sha256(encode_canonical({"rule": rule, "labels": dict(labels)})).hexdigest()[:32]

"""What is wrong with one device, read from what it reports: noted then, never searched for (server 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from limosa_contracts.phases import Phase
from limosa_contracts.reported import Reported
from limosa_contracts.window import Window

FELL_BACK: Final = "fell_back"
QUARANTINED: Final = "quarantined"
FAILING: Final = "failing"
DISK: Final = "disk"
REPORTED_KINDS: Final = frozenset({FELL_BACK, QUARANTINED, DISK})
"""What a `reported` says whole: kinds that are not among its troubles are over."""
_REFUSED: Final = frozenset({Phase.REJECTED, Phase.FALLING_BACK, Phase.FELL_BACK})


@dataclass(frozen=True, slots=True, kw_only=True)
class TroubleLimits:
    """When something is worth a note."""

    disk_free_min_bytes: int = 256 * 1024**2  # a release and its predecessor fit in most cases
    error_share_max: float = 0.05  # of a window's inferences
    window_min: int = 20  # fewer inferences say nothing (telemetry 3.5)
    cause_max_chars: int = 120
    detail_max_chars: int = 500


LIMITS: Final = TroubleLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """`cause` groups devices: the same words mean the same cause."""

    kind: str
    model: str
    version: str
    cause: str
    detail: str


def of_reported(said: Reported) -> list[Trouble]:
    found: list[Trouble] = []
    free = said.resources.get("disk_free_bytes")
    if isinstance(free, (int, float)) and not isinstance(free, bool) and free < LIMITS.disk_free_min_bytes:
        detail = f"{int(free)} bytes are free"
        found.append(Trouble(kind=DISK, model="", version="", cause="little room", detail=detail))
    for model in said.models:
        candidate = model.candidate.version if model.candidate is not None else ""
        if model.phase in _REFUSED:
            found.append(_trouble(FELL_BACK, model.model, candidate, model.reason or model.phase.value))
        if model.quarantined:
            # digests, two for one release: of its variant and of its index
            words = "it holds a release in quarantine"
            found.append(_trouble(QUARANTINED, model.model, candidate, words))
    return found


def of_window(said: Window) -> Trouble | None:
    """None where its inferences do not fail; the window speaks for its model alone."""
    errors = said.counters.get("errors", 0)
    if said.n + errors < LIMITS.window_min or errors <= LIMITS.error_share_max * (said.n + errors):
        return None
    share = errors / (said.n + errors)
    trouble = _trouble(FAILING, said.model, said.version, "inferences fail")
    return Trouble(
        kind=trouble.kind,
        model=trouble.model,
        version=trouble.version,
        cause=trouble.cause,
        detail=f"{errors} of {said.n + errors} inferences failed ({share:.0%})",
    )


def _trouble(kind: str, model: str, version: str, words: str) -> Trouble:
    line = " ".join(words.split())
    return Trouble(
        kind=kind,
        model=model,
        version=version,
        cause=line[: LIMITS.cause_max_chars],
        detail=line[: LIMITS.detail_max_chars],
    )

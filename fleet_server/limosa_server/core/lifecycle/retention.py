"""Which releases need their bytes, and why (server 5). The record of every release stays for ever."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from limosa_contracts.duration import about_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One release as retention sees it. `left_at`: since when it is archived or retracted."""

    id: int
    model: str
    version: str
    index_sha256: str
    stage: str
    retracted: bool
    left_at: float
    may_return_to: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InUse:
    """What devices and rollouts hold on to: index digests, and (model, version) pairs."""

    running: frozenset[str]  # devices run it, or are on their way to it
    wanted: frozenset[str]  # desired documents name it
    rollouts: frozenset[str]  # open rollouts bring it, or would go back to it
    previous: frozenset[tuple[str, str]]  # the version in a device's other slot


def reasons(releases: Sequence[Kept], use: InUse, *, now: float, keep_s: float) -> Mapping[int, str]:
    """id -> why its bytes are needed. A release that is not in it may lose them.

    What a release may return to is needed as long as that release is: one step, because a device that
    went back runs what it went back to, which then speaks for itself.
    """
    needed: dict[int, str] = {}
    for one in releases:
        why = _own_reason(one, use, now=now, keep_s=keep_s)
        if why:
            needed[one.id] = why
    by_name = {(one.model, one.version): one for one in releases}
    for one in [release for release in releases if release.id in needed]:
        for version in one.may_return_to:
            back = by_name.get((one.model, version))
            if back is not None:
                needed.setdefault(back.id, f"{one.version} may return to it")
    return needed


def _own_reason(one: Kept, use: InUse, *, now: float, keep_s: float) -> str:
    if one.index_sha256 in use.running:
        return "devices run it"
    if one.index_sha256 in use.rollouts:
        return "an open rollout needs it"
    if one.index_sha256 in use.wanted:
        return "devices are told to run it"
    if (one.model, one.version) in use.previous:
        return "devices have it in their other slot"
    if one.stage != "archived" and not one.retracted:
        return f"it is in {one.stage}"
    if now - one.left_at < keep_s:
        return f"it left {about_duration(max(0.0, now - one.left_at))} ago"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlob:
    sha256: str
    size: int
    pushed_at: float


def garbage(
    blobs: Iterable[StoredBlob], reachable: frozenset[str], *, now: float, grace_s: float
) -> list[StoredBlob]:
    """Blobs of one repository that nothing refers to, in the order of their digests.

    What came in within `grace_s`, or was asked for by a publisher since, may belong to a push that is
    under way: its manifest comes last.
    """
    return sorted(
        (one for one in blobs if one.sha256 not in reachable and now - one.pushed_at >= grace_s),
        key=lambda one: one.sha256,
    )

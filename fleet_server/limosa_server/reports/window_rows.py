"""Telemetry windows as rows: of two with one key the higher `rev` holds (telemetry 3.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from sqlmodel import col, select

from limosa_contracts.window import Window
from limosa_server.errors import BaselineUnknown
from limosa_server.store import Transaction
from limosa_server.store.upsert import insert
from limosa_server.tables.releases import Release, Variant
from limosa_server.tables.reports import WindowRow

KEY: Final = ("device", "boot", "window_index", "baseline", "model_digest")
CHANGING: Final = (
    "rev",
    "n",
    "length_s",
    "received_at",
    "counters",
    "body",
    "latency",
    "classes",
    "memory_bytes",
)
Counted: TypeAlias = tuple[str, str, str, str]
"""(model, version, model digest, baseline): what a window says that it counts."""


def counted(window: Window) -> Counted:
    return (window.model, window.version, window.model_digest, window.baseline)


def strangers(tx: Transaction, windows: Sequence[Window]) -> dict[Counted, BaselineUnknown]:
    """What no release of ours has: counts over other bins would be added to ours as if they were the
    same (telemetry 2.2)."""
    unknown: dict[Counted, BaselineUnknown] = {}
    for about in dict.fromkeys(counted(window) for window in windows):
        model, version, digest, baseline = about
        known = (
            select(Variant.id)
            .join(Release, col(Release.id) == col(Variant.release_id))
            .where(
                Release.model == model,
                Release.version == version,
                col(Variant.manifest_sha256).startswith(digest, autoescape=True),
                Variant.baseline_id == baseline,
            )
        )
        if tx.exec(known.limit(1)).first() is None:
            unknown[about] = BaselineUnknown(f"{model}@{version} has no baseline {baseline}")
    return unknown


def store(tx: Transaction, windows: Sequence[tuple[Window, bytes]], now: float) -> Counter[str]:
    """How many were stored, how many were stale."""
    if not windows:
        return Counter()
    statement = insert(tx, WindowRow)
    new = statement.excluded
    written = tx.connection().execute(
        statement.on_conflict_do_update(
            index_elements=list(KEY),
            set_={name: new[name] for name in CHANGING},
            where=col(WindowRow.rev) < new.rev,
        ),
        [_values(window, body, now) for window, body in windows],
    )
    tx.announce("windows")
    return Counter(stored=written.rowcount, stale=len(windows) - written.rowcount)


def _values(window: Window, body: bytes, now: float) -> dict[str, Any]:
    return {
        "device": window.device,
        "boot": window.boot,
        "window_index": window.index,
        "baseline": window.baseline,
        "model_digest": window.model_digest,
        "model": window.model,
        "version": window.version,
        "rev": window.rev,
        "n": window.n,
        "started_at": window.started_at,
        "length_s": window.length_s,
        "received_at": now,
        "counters": dict(window.counters),
        "body": body,
        "latency": list(window.sketch.latency),  # beside the body, so that waves are compared without it
        "classes": list(window.sketch.classes),
        "memory_bytes": window.memory_bytes,
    }

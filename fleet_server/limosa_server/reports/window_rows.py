"""Telemetry windows as rows: of two with one key the higher `rev` holds (telemetry 3.2)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Final, TypeAlias

from sqlmodel import col, select

from limosa_contracts.window import Window
from limosa_server.errors import BaselineUnknown
from limosa_server.store import Transaction
from limosa_server.store.bulk import Upsert
from limosa_server.tables.releases import Release, Variant
from limosa_server.tables.reports import WindowRow

KEY: Final = ("device", "boot", "window_index", "baseline", "model_digest")
KEPT: Final = ("model", "version", "started_at", "counted_rev")  # as the first revision said them
COLUMNS: Final = (
    *KEY,
    *KEPT,
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
    """How many were stored, how many were stale. Of one window that came several times, only the highest
    revision is written; those before it are in it, for windows are cumulative."""
    if not windows:
        return Counter()
    last: dict[tuple[object, ...], tuple[Window, bytes]] = {}
    within = 0
    for window, body in windows:
        key = _key(window)
        held = last.get(key)
        if held is None or held[0].rev < window.rev:
            within += held is not None
            last[key] = (window, body)
    upsert = Upsert.of(tx, WindowRow, COLUMNS, key=KEY, newer="rev", kept=KEPT)
    rows = [(*key, *_values(window, body, now)) for key, (window, body) in last.items()]
    written = within + upsert.put(tx, rows)
    tx.announce("windows")
    return Counter(stored=written, stale=len(windows) - written)


def _key(window: Window) -> tuple[object, ...]:
    """In the order of KEY, as the database holds it."""
    return (
        window.device,
        _stored(window.boot),
        window.index,
        _stored(window.baseline),
        _stored(window.model_digest),
    )


def _values(window: Window, body: bytes, now: float) -> tuple[object, ...]:
    """In the order of COLUMNS after KEY, JSON as text."""
    sketch = window.sketch
    return (
        window.model,
        window.version,
        window.started_at,
        0,  # no tier has counted it
        window.rev,
        window.n,
        window.length_s,
        now,
        json.dumps(window.counters),
        body,
        str(list(sketch.latency)),  # beside the body, so that waves are compared without it
        str(list(sketch.classes)),
        window.memory_bytes,
    )


def _stored(text: str) -> str:
    """PostgreSQL's text cannot hold U+0000."""
    return text.replace("\0", "\ufffd") if "\0" in text else text

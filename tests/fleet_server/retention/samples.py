"""Windows, events and rollouts with numbers that differ from one to the next."""

from __future__ import annotations

import random

from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.phases import Phase
from limosa_contracts.window import Sketch, Window
from limosa_server.tables.rollouts import RolloutRow

NOW = 1_790_000_000.0
SHA = "ab" * 32


def window(device: str, *, index: int, rev: int = 1, at: float = NOW) -> Window:
    draw = random.Random(f"{device} {index} {rev}")

    def counts(size: int) -> tuple[int, ...]:
        return tuple(draw.randrange(50) for _ in range(size))

    sketch = Sketch(
        bins=(counts(32), counts(32)), missing=counts(2), sums=(1.5, 2.0), squares=(0.25, 8.0),
        classes=counts(3), confidence=counts(10), latency=counts(32),
    )  # fmt: skip
    return Window(
        device=device, model="demo/motion", version="1.0.0", model_digest="0" * 16, baseline="1" * 16,
        boot="b1", index=index, rev=rev, clock="ntp", started_mono_s=0.0, started_at=at, length_s=300.0,
        n=draw.randrange(1, 500), counters={"inferences": draw.randrange(500), "errors": index % 2},
        sketch=sketch,
    )  # fmt: skip


def event(device: str, *, rollout: str, phase: Phase = Phase.DOWNLOADING, key: str = "") -> UpdateEvent:
    return UpdateEvent(
        device=device, key=key or f"{rollout}/{phase.value}", kind="update", model="demo/motion",
        version="1.0.0", index_sha256=SHA, manifest_sha256="", rollout=rollout, attempt=1, phase=phase,
        reason=Reason(code="", message=""), at=NOW, boot="b1",
    )  # fmt: skip


def rollout(number: int, *, ended_at: float | None) -> RolloutRow:
    return RolloutRow(
        id=number, model="demo/motion", version="1.0.0", index_sha256=SHA, target="all", salt="s",
        fingerprint="f", status="RUNNING" if ended_at is None else "COMPLETED", reason="", since=NOW,
        created_at=NOW, created_by="test", ended_at=ended_at,
    )  # fmt: skip

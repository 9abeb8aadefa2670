"""How messages go to the processes that check them, and verdicts come back. No I/O.

Windows are nearly all there is, so they go as plain tuples; pickling dataclasses takes longer than reading
the report. Both ends are one version of this program, and nobody else writes to their socket.
"""

from __future__ import annotations

import marshal
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from limosa_contracts.report_message import ReportMessage
from limosa_contracts.topics import Suffix
from limosa_contracts.window import Sketch, Window
from limosa_server.reports.report_parsing import AnyReport, Refusal

Verdict: TypeAlias = AnyReport | Refusal | None
"""None: not signed by the device."""
_SUFFIXES: Final[Mapping[str, Suffix]] = {suffix.value: suffix for suffix in Suffix}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message, and the keys (PEM) of the device that it is said to come from, the newest first."""

    device: str
    message: ReportMessage
    keys: Sequence[bytes]


def pack_claims(items: Sequence[Claimed]) -> bytes:
    return marshal.dumps([_claim(one.device, one.message, one.keys) for one in items])


def read_claims(data: bytes) -> list[Claimed]:
    return [
        Claimed(
            device=device,
            message=ReportMessage(
                suffix=_SUFFIXES[suffix], session=session, seq=seq, prev=prev, payload=payload, sig=sig
            ),
            keys=keys,
        )
        for device, suffix, session, seq, prev, payload, sig, keys in marshal.loads(data)  # noqa: S302  # ours
    ]


def pack_verdicts(verdicts: Sequence[Verdict]) -> bytes:
    return marshal.dumps([_verdict(one) for one in verdicts])


def read_verdicts(data: bytes) -> list[Verdict]:
    return [_read_verdict(one) for one in marshal.loads(data)]  # noqa: S302  # from our own child


def _claim(device: str, message: ReportMessage, keys: Sequence[bytes]) -> tuple[Any, ...]:
    return (
        device,
        message.suffix.value,
        message.session,
        message.seq,
        message.prev,
        message.payload,
        message.sig,
        tuple(keys),
    )


def _verdict(one: Verdict) -> tuple[Any, ...] | bytes | None:
    if one is None:
        return None
    if not isinstance(one, Window) or one.feedback is not None or one.shadow is not None or one.extra:
        return pickle.dumps(one, pickle.HIGHEST_PROTOCOL)
    return (
        one.device,
        one.model,
        one.version,
        one.model_digest,
        one.baseline,
        one.boot,
        one.index,
        one.rev,
        one.clock,
        one.started_mono_s,
        one.started_at,
        one.length_s,
        one.n,
        one.counters,
        one.memory_bytes,
        one.sketch.classes,
        one.sketch.confidence,
        one.sketch.latency,
    )


def _read_verdict(packed: tuple[Any, ...] | bytes | None) -> Verdict:
    if packed is None:
        return None
    if isinstance(packed, bytes):
        verdict: Verdict = pickle.loads(packed)  # noqa: S301  # from our own child
        return verdict
    (device, model, version, digest, baseline, boot, index, rev, clock, mono, at, length, n, counters, memory,
     classes, confidence, latency) = packed  # fmt: skip
    return Window(
        device=device,
        model=model,
        version=version,
        model_digest=digest,
        baseline=baseline,
        boot=boot,
        index=index,
        rev=rev,
        clock=clock,
        started_mono_s=mono,
        started_at=at,
        length_s=length,
        n=n,
        counters=counters,
        memory_bytes=memory,
        sketch=Sketch(
            bins=(), missing=(), sums=(), squares=(), classes=classes, confidence=confidence, latency=latency
        ),
    )

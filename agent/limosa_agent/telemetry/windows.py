"""Telemetry windows out of the worker's snapshots (telemetry 3). Pure: time comes in as a value.

A snapshot is cumulative per generation; a window is cumulative from its own beginning. A window
closes at the hour, at 20,000 inferences, or when its digest stops serving. A report of fewer than
`MIN_ROWS` inferences or pieces of feedback is held: the window stays open and grows (3.5). Only where
it cannot grow, because its digest no longer serves, is a small one sent, and during a probation, whose
trial may be that short.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from limosa_agent.telemetry.window_merge import add_sketches, combine_sketches, since, together
from limosa_contracts.baseline import BINS
from limosa_contracts.feedback import Feedback
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.shadow import ShadowSketch
from limosa_contracts.window import COMPARED, Sketch, Window, empty_sketch

MIN_ROWS: Final = 20
MAX_ROWS: Final = 20_000
WINDOW_S: Final = 3600.0
SHADOW_COUNTERS: Final = (COMPARED, "shadow_disagreed", "shadow_dropped")
"""Of challengers only (telemetry 1.4)."""
FEEDBACK_COUNTERS: Final = ("feedback_matched", "feedback_unmatched", "feedback_repeated")
"""Where applications said anything (telemetry 5.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a worker counted of one model since it loaded it; codes of errors become counters."""

    n: int
    counters: dict[str, int]
    sketch: Sketch
    baseline: str
    feedback: Feedback | None = None
    shadow: ShadowSketch | None = None
    memory_bytes: int = 0  # of the worker, when this was taken

    @classmethod
    def parse(cls, value: Mapping[str, JsonValue]) -> Snapshot:
        """Raises InvalidField."""
        fields = Fields(value, where="snapshot")
        counters: dict[str, int] = {}
        for name in ("requests", "failed_requests", "nan_outputs", "replayed", "unmeasured"):
            counters[name] = fields.optional(name, lambda n: fields.integer(n, low=0), 0)
        for name in (*SHADOW_COUNTERS, *FEEDBACK_COUNTERS):
            if fields.has(name):
                counters[name] = fields.integer(name, low=0)
        for kind in ("errors", "refused"):
            codes = fields.fields(kind)
            counters[kind] = sum(codes.integer(code, low=0) for code in fields.object(kind))
            for code in fields.object(kind):
                counters[f"{kind}.{code}"] = codes.integer(code, low=0)
        missing = fields.integers("missing", low=0)
        rows = [
            Fields({"row": row}, where=place).integers("row", low=0) for place, row in fields.items("bins")
        ]
        return cls(
            n=fields.integer("n", low=0),
            counters=counters,
            sketch=Sketch(
                bins=tuple(rows),
                missing=missing,
                sums=_numbers(fields, "sums"),
                squares=_numbers(fields, "squares"),
                classes=fields.integers("classes", low=0),
                confidence=fields.integers("confidence", low=0),
                latency=fields.integers("latency", low=0),
            ),
            baseline=fields.text("baseline_id", max_chars=16),
            feedback=fields.maybe("feedback", lambda n: Feedback.parse(fields.fields(n))),
            shadow=fields.maybe("shadow", lambda n: ShadowSketch.parse(fields.fields(n))),
            memory_bytes=fields.optional("rss_bytes", lambda n: fields.integer(n, low=0), 0),
        )

    def minus(self, earlier: Snapshot) -> Snapshot:
        """What came since `earlier`, a snapshot of the same worker."""
        return Snapshot(
            n=self.n - earlier.n,
            counters={
                name: max(0, count - earlier.counters.get(name, 0)) for name, count in self.counters.items()
            },
            sketch=_subtract(self.sketch, earlier.sketch),
            baseline=self.baseline,
            feedback=since(self.feedback, earlier.feedback),
            shadow=since(self.shadow, earlier.shadow),
            memory_bytes=self.memory_bytes,
        )


@dataclass(slots=True, kw_only=True)
class OpenWindow:
    window: Window
    reported_n: int = 0
    reported_counters: dict[str, int] = field(default_factory=dict)

    @property
    def news(self) -> bool:
        return self.window.n > self.reported_n or self.window.counters != self.reported_counters


class WindowBook:
    """The open windows of one start of the agent."""

    def __init__(self, *, device: str, boot: str) -> None:
        self._device = device
        self._boot = boot
        self._next_index = 0
        self._open: dict[tuple[str, str], OpenWindow] = {}  # (model, manifest)
        self._last: dict[tuple[str, str], tuple[int, Snapshot]] = {}  # generation, snapshot
        self._stopped: set[tuple[str, str]] = set()  # digests that another one has followed

    def observe(
        self,
        *,
        model: str,
        version: str,
        manifest_sha256: str,
        generation: int,
        snapshot: Snapshot,
        clock: str,
        mono_s: float,
        at: float,
    ) -> list[Window]:
        """Counts it in; the windows that closed by it."""
        key = (model, manifest_sha256)
        before = self._last.get(key)
        if before is not None and generation > before[0]:
            self._stopped.discard(key)  # it was loaded again
        self._last[key] = (generation, snapshot)
        continues = before is not None and before[0] == generation and before[1].n <= snapshot.n
        fresh = snapshot.minus(before[1]) if before is not None and continues else snapshot
        return self.add(
            model=model,
            version=version,
            manifest_sha256=manifest_sha256,
            fresh=fresh,
            clock=clock,
            mono_s=mono_s,
            at=at,
        )

    def add(
        self,
        *,
        model: str,
        version: str,
        manifest_sha256: str,
        fresh: Snapshot,
        clock: str,
        mono_s: float,
        at: float,
    ) -> list[Window]:
        """Counts in what came since this source's last snapshot: a worker's, or an application's own
        instance. The windows that closed by it."""
        key = (model, manifest_sha256)
        closed: list[Window] = []
        found = self._open.get(key)
        if found is not None and self._is_over(found.window, mono_s, fresh):
            closed.append(self._close(key))
            found = None
        if found is None:
            if not fresh.n and not any(fresh.counters.values()):
                return closed
            found = self._begin(key, version, fresh, clock=clock, mono_s=mono_s, at=at)
        window = found.window
        names = {**window.counters, **fresh.counters}
        found.window = replace(
            window,
            n=window.n + fresh.n,
            length_s=max(0.0, mono_s - window.started_mono_s),
            counters={n: window.counters.get(n, 0) + fresh.counters.get(n, 0) for n in names},
            sketch=add_sketches(window.sketch, fresh.sketch),
            feedback=together(window.feedback, fresh.feedback),
            shadow=together(window.shadow, fresh.shadow),
            memory_bytes=max(window.memory_bytes, fresh.memory_bytes),
        )
        return closed

    def due(self, *, in_probation: bool) -> list[Window]:
        """The next rev of every open window that has news worth sending.

        The last answers of a digest that stopped serving go out however few they are: there is no
        next window that could take them up (telemetry 3.5).
        """
        sent: list[Window] = []
        for key, entry in list(self._open.items()):
            if entry.news and key in self._stopped:
                sent.append(self._close(key))
            elif entry.news and (in_probation or _is_enough(entry.window)):
                sent.append(self._revise(entry))
        return sent

    def stop_serving(self, model: str, manifest_sha256: str) -> list[Window]:
        """Closes what this digest counted: another one answers from here on."""
        key = (model, manifest_sha256)
        self._stopped.add(key)
        return [self._close(key)] if key in self._open else []

    def open_windows(self) -> list[Window]:
        """As they would be sent next: kept on disk every minute, so that a crash loses little."""
        return [
            replace(entry.window, rev=entry.window.rev + 1) for entry in self._open.values() if entry.news
        ]

    def _is_over(self, window: Window, mono_s: float, snapshot: Snapshot) -> bool:
        if window.baseline != snapshot.baseline or window.n >= MAX_ROWS:
            return True
        if window.of_challenger is not (COMPARED in snapshot.counters):
            return True  # what went to nobody and what was served are never one sum
        over = int(mono_s // WINDOW_S) != int(window.started_mono_s // WINDOW_S)
        return over and _is_enough(window)  # 3.5: a small one is merged into the next

    def _begin(
        self,
        key: tuple[str, str],
        version: str,
        snapshot: Snapshot,
        *,
        clock: str,
        mono_s: float,
        at: float,
    ) -> OpenWindow:
        features = len(snapshot.sketch.bins)
        window = Window(
            device=self._device,
            model=key[0],
            version=version,
            model_digest=key[1][:16],
            baseline=snapshot.baseline,
            boot=self._boot,
            index=self._next_index,
            rev=0,
            clock=clock,
            started_mono_s=max(0.0, mono_s),
            started_at=max(0.0, at),
            length_s=0.0,
            n=0,
            counters={},
            sketch=empty_sketch(bins=[BINS] * features, classes=len(snapshot.sketch.classes)),
        )
        self._next_index += 1
        self._open[key] = OpenWindow(window=window)
        return self._open[key]

    def _revise(self, entry: OpenWindow) -> Window:
        entry.window = replace(entry.window, rev=entry.window.rev + 1)
        entry.reported_n = entry.window.n
        entry.reported_counters = dict(entry.window.counters)
        return entry.window

    def _close(self, key: tuple[str, str]) -> Window:
        return self._revise(self._open.pop(key))


def _is_enough(window: Window) -> bool:
    """3.5. What applications say comes later than the predictions, often in a window that has none."""
    return max(window.n, window.counters.get("feedback_matched", 0)) >= MIN_ROWS


def _subtract(a: Sketch, b: Sketch) -> Sketch:
    def less(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(max(0, i - j) for i, j in zip(x, y, strict=True))

    def less_f(x: tuple[float, ...], y: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(i - j for i, j in zip(x, y, strict=True))

    return combine_sketches(a, b, counts=less, amounts=less_f)


def _numbers(fields: Fields, name: str) -> tuple[float, ...]:
    return tuple(Fields({"value": value}, where=place).number("value") for place, value in fields.items(name))

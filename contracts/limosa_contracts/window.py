"""One telemetry window of one model on one device (telemetry 3)."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.base64_text import b64
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import InvalidField
from limosa_contracts.feedback import Feedback
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import MODEL, NAME, check_version
from limosa_contracts.reported import CLOCKS
from limosa_contracts.shadow import ShadowSketch
from limosa_contracts.varints import encode_varints

SCHEMA: Final = "limosa.window/1"
LATENCY_EDGES_US: Final = tuple(round(50 * 2 ** (i / 2)) for i in range(31))
"""Upper edges of the 31 latency buckets in microseconds, 50 µs to 1.6 s; a 32nd holds the rest."""
PACKED_MAX_BYTES: Final = 48 * 1024
COMPARED: Final = "shadow_compared"
"""The counter that windows of challengers have, and no other window (1.4)."""
MEMORY_MAX_BYTES: Final = 2**62  # a device that says more lies; it fits every column
UNPACKED_MAX_BYTES: Final = 512 * 1024  # bounds what a hostile deflate stream may grow to


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """Counts of one window. Lists follow the order of the baseline's features and classes.

    `sums` and `squares` are of the transformed finite values; `n` rows are behind all of them.
    """

    bins: tuple[tuple[int, ...], ...]  # features × 32
    missing: tuple[int, ...]
    sums: tuple[float, ...]
    squares: tuple[float, ...]
    classes: tuple[int, ...]
    confidence: tuple[int, ...]  # 10 bins of the top probability
    latency: tuple[int, ...]  # 32 buckets


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Cumulative within its window; of two with one key the higher `rev` holds (3.2)."""

    device: str
    model: str
    version: str
    model_digest: str  # first 16 hex digits of the manifest's sha256
    baseline: str  # 16 hex digits
    boot: str
    index: int  # window number within this boot
    rev: int
    clock: str
    started_mono_s: float
    started_at: float  # Unix seconds by the device's clock
    length_s: float
    n: int
    counters: dict[str, int]
    sketch: Sketch
    feedback: Feedback | None = None  # None where no application said anything
    shadow: ShadowSketch | None = None  # of a challenger
    memory_bytes: int = 0  # the most that the serving worker held; 0 where nobody looked
    extra: JsonObject = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, int, str, str]:
        return (self.device, self.boot, self.index, self.baseline, self.model_digest)

    @property
    def of_challenger(self) -> bool:
        """It counts answers that went to nobody."""
        return COMPARED in self.counters

    @classmethod
    def parse(cls, data: bytes, *, read: Callable[[bytes], Sketch] | None = None) -> Self:
        """`read`: `unpack` (None) or `skim`. Raises InvalidJson, InvalidField, TooLarge."""
        value = parse_object(data, what="window", max_bytes=LIMITS.mqtt_message_max_bytes)
        fields = Fields(value, where="window")
        fields.schema(SCHEMA)
        counted = fields.fields("counters")
        counters = {name: counted.integer(name, low=0) for name in fields.object("counters")}
        packed = b64(fields.text("packed", max_chars=2 * PACKED_MAX_BYTES), where="window.packed")
        return cls(
            device=fields.text("device", pattern=NAME),
            model=fields.text("model", pattern=MODEL),
            version=check_version(fields.text("version")),
            model_digest=fields.text("model_digest", max_chars=16),
            baseline=fields.text("baseline", max_chars=16),
            boot=fields.text("boot", max_chars=64),
            index=fields.integer("index", low=0),
            rev=fields.integer("rev", low=1),
            clock=fields.choice("clock", CLOCKS),
            started_mono_s=fields.number("started_mono_s", low=0),
            started_at=fields.number("started_at", low=0, high=1e11),
            length_s=fields.number("length_s", low=0, high=1e9),
            n=fields.integer("n", low=0),
            counters=counters,
            sketch=unpack(packed) if read is None else read(packed),
            feedback=fields.maybe("feedback", lambda n: Feedback.parse(fields.fields(n))),
            shadow=fields.maybe("shadow", lambda n: ShadowSketch.parse(fields.fields(n))),
            memory_bytes=fields.optional(
                "memory_bytes", lambda n: fields.integer(n, low=0, high=MEMORY_MAX_BYTES), 0
            ),
            extra=fields.rest(),
        )

    def encode(self) -> bytes:
        counters: dict[str, JsonValue] = dict(self.counters)
        said: dict[str, JsonValue] = {}
        if self.feedback is not None:
            said["feedback"] = self.feedback.as_json()
        if self.shadow is not None:
            said["shadow"] = self.shadow.as_json()
        if self.memory_bytes:
            said["memory_bytes"] = self.memory_bytes
        return encode_canonical(
            {
                **self.extra,
                **said,
                "schema": SCHEMA,
                "device": self.device,
                "model": self.model,
                "version": self.version,
                "model_digest": self.model_digest,
                "baseline": self.baseline,
                "boot": self.boot,
                "index": self.index,
                "rev": self.rev,
                "clock": self.clock,
                "started_mono_s": self.started_mono_s,
                "started_at": self.started_at,
                "length_s": self.length_s,
                "n": self.n,
                "counters": counters,
                "packed": base64.b64encode(pack(self.sketch)).decode(),
            }
        )


def pack(sketch: Sketch) -> bytes:
    """Raw deflate over LEB128 numbers: sizes, bins, missing, classes, confidence, latency, then moments.

    Bins are stored as zigzag residuals against their row's mean, which the reader knows from the
    row's total; moments are little-endian doubles.
    """
    import struct

    numbers: list[int] = [
        1,
        len(sketch.bins),
        len(sketch.classes),
        len(sketch.confidence),
        len(sketch.latency),
    ]
    for row in sketch.bins:
        total = sum(row)
        mean = total // len(row)
        numbers.append(len(row))
        numbers.append(mean)
        numbers.extend(_zigzag(count - mean) for count in row)
    numbers.extend((*sketch.missing, *sketch.classes, *sketch.confidence, *sketch.latency))
    body = encode_varints(numbers)
    moments = struct.pack(f"<{2 * len(sketch.sums)}d", *sketch.sums, *sketch.squares)
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(body + moments) + packer.flush()


def unpack(data: bytes) -> Sketch:
    """Raises InvalidField for anything that is not exactly what `pack` gives."""
    import struct

    body = _inflate(data)
    reader = _Leb128(body)
    features, *sizes = _sizes(reader)
    bins: list[tuple[int, ...]] = []
    for _ in range(features):
        length, mean = _row_head(reader)
        # Zigzag, undone in place: a call for each number would be most of the time a window takes.
        row = tuple(
            [
                mean - (number >> 1) - 1 if number & 1 else mean + (number >> 1)
                for number in reader.numbers(length)
            ]
        )
        if row and min(row) < 0:
            raise InvalidField("a count is negative", where="window.packed")
        bins.append(row)
    lists = [tuple(reader.numbers(size)) for size in (features, *sizes)]
    _check_tail(body, reader.at, features)
    moments = struct.unpack_from(f"<{2 * features}d", body, reader.at)
    return Sketch(
        bins=tuple(bins),
        missing=lists[0],
        classes=lists[1],
        confidence=lists[2],
        latency=lists[3],
        sums=moments[:features],
        squares=moments[features:],
    )


def skim(data: bytes) -> Sketch:
    """Of what `pack` gives, the latency and the classes; the rest is checked as `unpack` checks it, and
    left out: a server has thousands a second, and reads the bins hours later.

    Raises InvalidField for exactly what `unpack` does.
    """
    body = _inflate(data)
    reader = _Leb128(body)
    features, classes, confidence, latency = _sizes(reader)
    for _ in range(features):
        if reader.passes_row():
            continue
        length, mean = _row_head(reader)
        if reader.deepest(length) > mean:
            raise InvalidField("a count is negative", where="window.packed")
    reader.numbers(features)
    found = tuple(reader.numbers(classes))
    reader.numbers(confidence)
    times = tuple(reader.numbers(latency))
    _check_tail(body, reader.at, features)
    return Sketch(
        bins=(), missing=(), sums=(), squares=(), classes=found, confidence=(0,) * 10, latency=times
    )


def empty_sketch(*, bins: Sequence[int], classes: int) -> Sketch:
    """Zeros for features with `bins[i]` bins each and `classes` classes."""
    zeros = tuple((0,) * size for size in bins)
    return Sketch(
        bins=zeros,
        missing=(0,) * len(bins),
        sums=(0.0,) * len(bins),
        squares=(0.0,) * len(bins),
        classes=(0,) * classes,
        confidence=(0,) * 10,
        latency=(0,) * (len(LATENCY_EDGES_US) + 1),
    )


def _sizes(reader: _Leb128) -> tuple[int, int, int, int]:
    """Numbers of features, classes, bins of confidence and of latency."""
    version, features, classes, confidence, latency = reader.numbers(5)
    if (
        version != 1
        or features > LIMITS.features_max
        or max(classes, confidence, latency) > LIMITS.classes_max
    ):
        raise InvalidField("a packed window has sizes that are not accepted", where="window.packed")
    return features, classes, confidence, latency


def _row_head(reader: _Leb128) -> tuple[int, int]:
    """How many counts a row has, and their mean."""
    length, mean = reader.numbers(2)
    if length > 1024:
        raise InvalidField("a packed row is too long", where="window.packed")
    return length, mean


def _check_tail(body: bytes, at: int, features: int) -> None:
    if len(body) - at != 16 * features:
        raise InvalidField("a packed window has the wrong length", where="window.packed")


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(-15)
    try:
        body = inflater.decompress(data, UNPACKED_MAX_BYTES)
    except zlib.error as error:
        raise InvalidField(
            "a packed window does not inflate", where="window.packed", why=str(error)
        ) from error
    if not inflater.eof or inflater.unused_data:
        raise InvalidField("a packed window is cut, or grows too large", where="window.packed")
    return body


_NOT_BELOW: Final = bytes(range(0, 256, 2))
"""Zigzag numbers of one byte that stand for zero and above."""


class _Leb128:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def passes_row(self) -> bool:
        """Steps over a row that is all small numbers, as nearly every one is, with no count below zero; stays
        before any other, whatever is wrong with it."""
        data, at = self._data, self.at
        head = data[at : at + 2]
        if len(head) < 2 or not head.isascii():
            return False
        length, mean = head
        end = at + 2 + length
        row = data[at + 2 : end]
        if len(row) < length or not row.isascii():
            return False
        below = row.translate(None, _NOT_BELOW)
        if below and max(below) >> 1 >= mean:
            return False
        self.at = end
        return True

    def deepest(self, count: int) -> int:
        """How far below zero the lowest of the next `count` zigzag numbers is, at least 0."""
        data, at = self._data, self.at
        small = data[at : at + count]
        if len(small) == count and small.isascii():
            self.at = at + count
            below: Sequence[int] = small.translate(None, _NOT_BELOW)
        else:
            below = [number for number in self.numbers(count) if number & 1]
        return (max(below) >> 1) + 1 if below else 0

    def numbers(self, count: int) -> list[int]:
        """The next `count`: a server reads thousands of windows a second, so small ones go at once."""
        data, at = self._data, self.at
        small = data[at : at + count]
        if len(small) == count and small.isascii():  # every one in a byte of its own
            self.at = at + count
            return list(small)
        found: list[int] = []
        coming = iter(data[at : at + 10 * count])  # 63 bits take ten bytes at most
        for byte in coming:
            at += 1
            if byte < 0x80:
                found.append(byte)
            else:  # a loop of its own: what most numbers are costs nothing of it
                result, shift = byte & 0x7F, 7
                for more in coming:
                    at += 1
                    result |= (more & 0x7F) << shift
                    if more < 0x80:
                        found.append(result)
                        break
                    shift += 7
                    if shift > 63:
                        raise InvalidField("a packed number is too long", where="window.packed")
            if len(found) == count:
                self.at = at
                return found
        raise InvalidField("a packed number is cut", where="window.packed")


def _zigzag(number: int) -> int:
    return 2 * number if number >= 0 else -2 * number - 1

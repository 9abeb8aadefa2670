"""zstd frames whose length is known: written small, read exactly, never with a large window."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cached_property
from typing import Final

from limosa_contracts.delta.errors import refuse
from limosa_contracts.delta.limits import WINDOW_LOG_MAX

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Parameter: Final = zstd.CompressionParameter
THOROUGH_LEVEL: Final = 19
SYMBOLS_WINDOW_LOG: Final = 16  # several frames of symbols are read at a time
DICTIONARY_MIN: Final = 8  # bytes; zstd takes none that is shorter
_ENTROPY_ONLY: Final[Mapping[int, int]] = {
    Parameter.compression_level: 1,
    Parameter.window_log: SYMBOLS_WINDOW_LOG,
    Parameter.min_match: 7,
    Parameter.hash_log: 6,
    Parameter.strategy: zstd.Strategy.fast,
}
"""Packed symbols hold no repetitions: a match that is found costs more than the literals."""
FEED_BYTES: Final = 1 << 16


def frame(data: bytes | memoryview, *, level: int = THOROUGH_LEVEL) -> bytes:
    """One frame of `data`, b"" for none of it."""
    return zstd.compress(data, options=_options(level, len(data))) if len(data) else b""


def symbol_frame(data: bytes) -> bytes:
    """The smaller of two ways that suit packed symbols; the thorough one only pays with repetitions."""
    if not data:
        return b""
    thorough = {**_options(THOROUGH_LEVEL, len(data)), Parameter.window_log: SYMBOLS_WINDOW_LOG}
    ways = (zstd.compress(data, options=options) for options in (_ENTROPY_ONLY, thorough))
    return min(ways, key=len)


def patch_frame(data: bytes, dictionary: bytes, *, level: int = THOROUGH_LEVEL) -> bytes:
    """`data` by reference to `dictionary`, as `zstd --patch-from` does."""
    options = _options(level, len(data) + len(dictionary))
    if len(dictionary) < DICTIONARY_MIN:
        return zstd.compress(data, options=options)
    prefix = zstd.ZstdDict(dictionary, is_raw=True).as_prefix
    return zstd.compress(data, options=options, zstd_dict=prefix)


def full_size(data: bytes) -> int:
    """Bytes of the blob without any base; what a delta must beat."""
    return len(zstd.compress(data, level=12))


class FrameReader:
    """Reads one frame in pieces. Raises DeltaRefused for whatever is not exactly what was announced.

    Takes no memory before the first byte is read: a delta has more frames than are read at a time.
    """

    def __init__(self, data: memoryview, *, dictionary: bytes = b"") -> None:
        self._data = data
        self._at = 0
        self._dictionary = dictionary

    @cached_property
    def _frame(self) -> zstd.ZstdDecompressor:
        limits: dict[int, int] = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX}
        if len(self._dictionary) < DICTIONARY_MIN:
            return zstd.ZstdDecompressor(options=limits)
        prefix = zstd.ZstdDict(self._dictionary, is_raw=True).as_prefix
        return zstd.ZstdDecompressor(zstd_dict=prefix, options=limits)

    def read(self, size: int) -> bytes:
        """The next `size` bytes."""
        parts: list[bytes] = []
        missing = size
        while missing:
            if not len(self._data):
                raise refuse("a frame is shorter than announced")
            part = self._some(missing)
            if not part and (self._frame.eof or self._at >= len(self._data)):
                raise refuse("a frame is shorter than announced")
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def end(self) -> None:
        """The frame ends here, and nothing follows it."""
        if not len(self._data):
            return  # the frame of nothing
        while not self._frame.eof:
            if self._some(1):
                raise refuse("a frame is longer than announced")
            if not self._frame.eof and self._frame.needs_input and self._at >= len(self._data):
                raise refuse("a frame is cut off")
        if self._frame.unused_data or self._at < len(self._data):
            raise refuse("bytes follow a frame")

    def _some(self, size: int) -> bytes:
        if self._frame.eof:
            return b""
        piece = b""
        if self._frame.needs_input:
            piece = bytes(self._data[self._at : self._at + FEED_BYTES])
            self._at += len(piece)
        try:
            return self._frame.decompress(piece, max_length=size)
        except (zstd.ZstdError, EOFError) as error:
            raise refuse(f"a frame cannot be read: {error}"[:200]) from error


def _options(level: int, reach: int) -> dict[int, int]:
    window = min(WINDOW_LOG_MAX, max(10, (reach - 1).bit_length()))
    return {Parameter.compression_level: level, Parameter.window_log: window}

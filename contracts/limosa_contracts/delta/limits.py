"""Sizes that both ends of a delta keep; they bound memory and are part of the format's meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from limosa_contracts.limits import LIMITS

CHUNK: Final = 1 << 16  # elements that are worked on at once: a few arrays of it stay in a cache
SEGMENT_BYTES: Final = 2 << 20  # of the rest, patched at once
DICTIONARY_BYTES: Final = 4 << 20  # of the base's rest, seen by one segment
WINDOW_LOG_MAX: Final = 22  # 4 MiB: no frame may ask a device for more
PERIOD_MAX: Final = 1 << 18  # elements before the scales of a tensor repeat
WORKING_BYTES: Final = DICTIONARY_BYTES + SEGMENT_BYTES + (4 << 20)  # beside base, delta and result


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaLimits:
    """What an applier grants to a delta that it does not trust."""

    base_max_bytes: int = LIMITS.blob_max_bytes
    result_max_bytes: int = LIMITS.blob_max_bytes
    delta_max_bytes: int = LIMITS.blob_max_bytes
    working_max_bytes: int = 64 << 20  # memory beside base, delta and result
    spans_max: int = 1 << 16
    table_max_bytes: int = 4 << 20  # of the table of spans, unpacked
    ratio_max: int = 20_000  # bytes of result per byte of delta where not copied from the base

"""Limits of everything that a device fetches (trust 3.4, 7.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    connect_timeout_s: float = 15.0  # for each address of a host
    idle_timeout_s: float = 30.0  # silence on a connection
    min_rate_bytes_per_s: float = 1000.0  # below this over `rate_window_s` a download is given up
    rate_window_s: float = 60.0
    metadata_budget_s: float = 300.0  # one metadata file, index or manifest in all
    blob_budget_s: float = 6 * 3600.0  # one request for a blob; what has come is kept
    redirects_max: int = 3
    delta_min_bytes: int = 64 * 1024  # a smaller blob is fetched as it is
    delta_memory_bytes: int = 256 * 1024**2  # that applying a delta may take; 0 for no deltas
    delta_wait_s: float = 60.0  # for a delta that the server is making; then the full blob
    root_max_bytes: int = LIMITS.tuf_metadata_max_bytes
    timestamp_max_bytes: int = 16 * 1024
    snapshot_max_bytes: int = LIMITS.tuf_metadata_max_bytes  # 60 B per bin: 8,000 bins
    targets_max_bytes: int = LIMITS.tuf_metadata_max_bytes
    root_rotations_max: int = 256  # roots that one refresh may walk
    director_max_bytes: int = 8 * 1024
    variant_max_bytes: int = LIMITS.artifact_max_bytes  # all files of one variant
    disk_reserve_bytes: int = 16 * 1024**2  # stays free for state, journal and outbox
    disk_max_bytes: int = 0  # of all models together, 0 is no limit
    progress_every_s: float = 0.5
    lock_wait_s: float = 5.0  # for the child before; one that lost its supervisor ends within a second

    @classmethod
    def parse(cls, value: JsonValue) -> Self:
        """The times and rates may be set; what bounds memory and disk may not."""
        fields = Fields(value, where="limits")
        plain = cls()

        def seconds(name: str) -> float:
            return fields.number(name, low=0.01, high=7 * 86400)

        limits = cls(
            connect_timeout_s=fields.optional("connect_timeout_s", seconds, plain.connect_timeout_s),
            idle_timeout_s=fields.optional("idle_timeout_s", seconds, plain.idle_timeout_s),
            min_rate_bytes_per_s=fields.optional(
                "min_rate_bytes_per_s", lambda n: fields.number(n, low=1), plain.min_rate_bytes_per_s
            ),
            rate_window_s=fields.optional("rate_window_s", seconds, plain.rate_window_s),
            metadata_budget_s=fields.optional("metadata_budget_s", seconds, plain.metadata_budget_s),
            blob_budget_s=fields.optional("blob_budget_s", seconds, plain.blob_budget_s),
            disk_reserve_bytes=fields.optional(
                "disk_reserve_bytes", lambda n: fields.integer(n, low=0), plain.disk_reserve_bytes
            ),
            disk_max_bytes=fields.optional(
                "disk_max_bytes", lambda n: fields.integer(n, low=0), plain.disk_max_bytes
            ),
            delta_min_bytes=fields.optional(
                "delta_min_bytes", lambda n: fields.integer(n, low=0), plain.delta_min_bytes
            ),
            delta_memory_bytes=fields.optional(
                "delta_memory_bytes", lambda n: fields.integer(n, low=0), plain.delta_memory_bytes
            ),
            delta_wait_s=fields.optional("delta_wait_s", seconds, plain.delta_wait_s),
            progress_every_s=fields.optional("progress_every_s", seconds, plain.progress_every_s),
            lock_wait_s=fields.optional("lock_wait_s", seconds, plain.lock_wait_s),
        )
        fields.refuse_rest()
        return limits

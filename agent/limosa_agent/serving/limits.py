"""What serving bounds, each with its unit and reason. Imports nothing heavy: the supervisor reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Self

from limosa_contracts.errors import InvalidField
from limosa_contracts.json_value import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingLimits:
    """Worker and pool. The pool sends them to each worker as one JSON object."""

    header_max_bytes: int = 16 * 1024  # request line and headers
    body_max_bytes: int = 16 * 1024 * 1024  # one request; a 1920x1080 float32 RGB frame has 24 MiB: raise it
    held_max_bytes: int = 64 * 1024 * 1024  # bodies of all requests at once; above: 429
    rows_max: int = 1024  # rows of one request along its batch axis
    connections_max: int = 256  # above: 503 and closed
    pipeline_max: int = 16  # requests of one connection that wait; above: it is not read from
    queue_max: int = 64  # requests that wait for a thread; above: 429
    retry_after_s: int = 1  # what 429 and 503 tell the client
    request_read_s: float = 20.0  # from a request's first byte to its last; slower is refused (slow loris)
    keepalive_idle_s: float = 300.0  # a connection without a request is closed after this
    linger_s: float = 2.0  # how long a closed connection is still read from, so that its answer arrives
    drain_idle_s: float = 60.0  # how long a worker that leaves waits for idle connections' next request
    failing_idle_s: float = 2.0  # the same for a generation that failed its checks
    stop_grace_s: float = 5.0  # how long a stopping worker may finish what it has begun
    load_max_s: float = 60.0  # load and warm-up of all models; slower counts as failed
    hang_s: float = 20.0  # a worker whose loop has not turned for this long is killed
    run_max_s: float = 40.0  # a run in a thread that takes longer counts as such a loop
    observe_every_s: float = 1.0
    restart_first_s: float = 0.2  # wait before the same set is started again after a crash; doubles
    restart_max_s: float = 30.0
    threads: int = 0  # threads for slow models; 0: one per core
    intra_op_threads: int = 1  # threads inside one run
    inline_max_us: int = 300  # a run that takes longer goes to a thread (agent 5.4)
    ring_rows: int = 64  # rows between two passes of the binning; 16 on slow boards (telemetry 1.2)
    ring_max_bytes: int = 1024 * 1024  # memory of one model's ring; rows that are large make it shorter
    standby_reserve_bytes: int = 64 * 1024 * 1024  # free beside both generations, or the previous one ends
    shadow_memory_max_bytes: int = 1024**3  # private memory of the shadow worker; above, it fails or ends
    shadow_silent_max_s: float = 900.0  # `hang_s` of a shadow worker that gets no processor time
    feedback_predictions: int = 4096  # with an id, per model, remembered for feedback: 24 bytes each
    shadow_wait_max_bytes: int = 1024 * 1024  # copies that wait for the shadow; above: dropped, counted

    def as_json(self) -> dict[str, JsonValue]:
        return asdict(self)

    @classmethod
    def parse(cls, value: JsonValue) -> Self:
        """Raises InvalidField for an unknown key or a value that is no number."""
        known = {field.name: field.type for field in fields(cls)}
        if not isinstance(value, Mapping):
            raise InvalidField("limits must be an object", where="limits")
        numbers: dict[str, int | float] = {}
        for name, number in value.items():
            if name not in known or isinstance(number, bool) or not isinstance(number, (int, float)):
                raise InvalidField(f"limit {name!r} is not known or no number", where="limits")
            numbers[name] = int(number) if known[name] == "int" else float(number)
        return cls(**numbers)  # type: ignore[arg-type]  # names and kinds were checked just above


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestLimits:
    """The child that tries a candidate before it serves (agent 4.1)."""

    memory_max_bytes: int = 1024**3  # private memory of the child; above, its allocations fail
    cpu_max_s: int = 60  # processor time
    wall_max_s: float = 90.0
    output_max_bytes: int = 64 * 1024  # what the parent reads of its verdict
    intra_op_threads: int = 1
    graph_max_bytes: int = 1024**3  # of an optimised graph's file
    graph_reserve_bytes: int = 32 * 1024**2  # of the disk; none is made where less would stay free

    def as_json(self) -> dict[str, JsonValue]:
        return asdict(self)

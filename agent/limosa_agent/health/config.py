"""`[health]` of agent.toml: every limit of the health checks, with its unit (agent 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.fields import Fields

_BYTES_MAX: Final = 2**50
_SECONDS_MAX: Final = 30 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthLimits:
    """Ratios of a trial itself (errors, latency, classes) come with the desired state, from the rollout."""

    # probation (4.2)
    trial_max_s: float = 3600.0  # no trial is longer, whatever the rollout asks for
    min_sample: int = 20  # fewer inferences say nothing about classes or latency
    latency_floor_us: float = 10_000.0  # p95 below it never fails: schedulers alone are as slow
    latency_sigmas: float = 3.0  # how sure one must be that more than 5 % are too slow
    refused_ratio: float = 0.5  # requests against the schema, more than the previous version had
    little_traffic_factor: float = 3.0  # × trial.seconds, then golden vectors complete a small sample
    memory_ratio: float = 3.0  # resident memory of the worker against the previous version's
    memory_floor_bytes: int = 128 * 1024**2  # and so much more: a larger model is no fault by itself
    growth_bytes: int = 64 * 1024**2  # a worker that grew by so much, step upon step, leaks
    growth_steps: int = 6  # steps of growth in a row: an arena grows a few times and then stays
    growth_step_s: float = 10.0  # length of a step; its least memory counts, not its peaks
    # self-test (4.1)
    promise_latency_ratio: float = 3.0  # of the compiler's promise; other boards of a class differ as much
    promise_latency_floor_us: float = 10_000.0  # a median below it is never too slow
    promise_memory_ratio: float = 1.5  # of the compiler's promise; allocators differ from board to board
    promise_memory_floor_bytes: int = 32 * 1024**2  # and by so much more
    promise_tries: int = 3  # measurements before a release is too slow: the machine may be busy
    # after commit (4.3)
    watch_window_s: float = 60.0  # what was counted in it is judged together
    sustain_s: float = 300.0  # a check that fails for so long falls back
    collapse_sustain_s: float = 86_400.0  # the same for classes: a night's dark pictures are no collapse
    late_error_ratio: float = 0.2  # failed inferences of all
    late_nan_ratio: float = 0.2  # answers that hold NaN
    late_latency_ratio: float = 4.0  # p95 against this version's own in its first windows
    late_class_distance: float = 0.9  # of the classes to the baseline, 0 to 1
    crashes_max: int = 3  # of a committed version within crashes_within_s; then it falls back
    crashes_within_s: float = 600.0  # crashes further apart are forgotten
    # a worker that does nothing any more
    hang_s: float = 20.0  # its loop has not turned for so long: it is killed
    run_max_s: float = 40.0  # one inference that takes longer counts as such a loop
    # what probes may run
    probe_programs: tuple[str, ...] = ()  # absolute paths; nothing else is run

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField, also for an unknown key."""
        base = cls()

        def whole(name: str, default: int, *, low: int = 1, high: int = _BYTES_MAX) -> int:
            return fields.optional(name, lambda n: fields.integer(n, low=low, high=high), default)

        def amount(name: str, default: float, *, low: float, high: float) -> float:
            return fields.optional(name, lambda n: fields.number(n, low=low, high=high), default)

        def ratio(name: str, default: float) -> float:
            return amount(name, default, low=1.0, high=1000.0)

        def share(name: str, default: float) -> float:
            return amount(name, default, low=0.0, high=1.0)

        def seconds(name: str, default: float) -> float:
            return amount(name, default, low=0.05, high=_SECONDS_MAX)

        limits = cls(
            trial_max_s=seconds("trial_max_s", base.trial_max_s),
            min_sample=whole("min_sample", base.min_sample, high=1_000_000),
            latency_floor_us=amount("latency_floor_us", base.latency_floor_us, low=0, high=1e9),
            latency_sigmas=amount("latency_sigmas", base.latency_sigmas, low=0, high=100),
            refused_ratio=share("refused_ratio", base.refused_ratio),
            little_traffic_factor=ratio("little_traffic_factor", base.little_traffic_factor),
            memory_ratio=ratio("memory_ratio", base.memory_ratio),
            memory_floor_bytes=whole("memory_floor_bytes", base.memory_floor_bytes, low=0),
            growth_bytes=whole("growth_bytes", base.growth_bytes),
            growth_steps=whole("growth_steps", base.growth_steps, low=2, high=1000),
            growth_step_s=seconds("growth_step_s", base.growth_step_s),
            promise_latency_ratio=ratio("promise_latency_ratio", base.promise_latency_ratio),
            promise_latency_floor_us=amount(
                "promise_latency_floor_us", base.promise_latency_floor_us, low=0, high=1e9
            ),
            promise_memory_ratio=ratio("promise_memory_ratio", base.promise_memory_ratio),
            promise_memory_floor_bytes=whole(
                "promise_memory_floor_bytes", base.promise_memory_floor_bytes, low=0
            ),
            promise_tries=whole("promise_tries", base.promise_tries, high=10),
            watch_window_s=seconds("watch_window_s", base.watch_window_s),
            sustain_s=seconds("sustain_s", base.sustain_s),
            collapse_sustain_s=seconds("collapse_sustain_s", base.collapse_sustain_s),
            late_error_ratio=share("late_error_ratio", base.late_error_ratio),
            late_nan_ratio=share("late_nan_ratio", base.late_nan_ratio),
            late_latency_ratio=ratio("late_latency_ratio", base.late_latency_ratio),
            late_class_distance=share("late_class_distance", base.late_class_distance),
            crashes_max=whole("crashes_max", base.crashes_max, high=1000),
            crashes_within_s=seconds("crashes_within_s", base.crashes_within_s),
            hang_s=seconds("hang_s", base.hang_s),
            run_max_s=seconds("run_max_s", base.run_max_s),
            probe_programs=fields.optional("probe_programs", lambda n: _programs(fields, n), ()),
        )
        fields.refuse_rest()
        return limits


def _programs(fields: Fields, name: str) -> tuple[str, ...]:
    paths = fields.texts(name, max_items=64)
    for path in paths:
        if not path.startswith("/") or "\0" in path:
            raise fields.wrong(name, f"{path!r} is not an absolute path")
    return paths


LIMITS: Final = HealthLimits()

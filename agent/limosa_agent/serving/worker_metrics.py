"""What the serving worker tells in `/metrics`: its counters per model and version. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from limosa_agent.telemetry.prometheus import Metric, Sample
from limosa_contracts.json_value import JsonValue
from limosa_contracts.window import LATENCY_EDGES_US

PREFIX: Final = "limosa_serving_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCounts:
    """`snapshot` as `Observations.snapshot` gives it: cumulative since the model was loaded."""

    model: str
    version: str
    snapshot: Mapping[str, JsonValue]

    @property
    def labels(self) -> dict[str, str]:
        return {"model": self.model, "version": self.version}


def serving_metrics(
    models: Sequence[ModelCounts], *, in_flight: int, connections: int, resident_bytes: int
) -> tuple[Metric, ...]:
    """A counter begins at 0 with each generation of the worker, as Prometheus expects of a restart."""
    return (
        _plain(models, "requests_total", "Requests for this model, whatever came of them.", "requests"),
        _plain(models, "inferences_total", "Rows that the model answered.", "n"),
        _plain(models, "nan_outputs_total", "Answered rows with a NaN or an infinity.", "nan_outputs"),
        _plain(models, "unmeasured_total", "Answered rows that no sketch has counted.", "unmeasured"),
        _coded(models, "refused_total", "Requests that the caller has to change, by error code.", "refused"),
        _coded(models, "errors_total", "Requests that could not be answered, by error code.", "errors"),
        Metric(
            name=f"{PREFIX}latency_seconds",
            kind="histogram",
            help="Time of one run of the model.",
            samples=tuple(_latency(models)),
        ),
        _gauge("requests_in_flight", "Requests begun to read and not yet answered.", in_flight),
        _gauge("connections", "Open connections.", connections),
        _gauge("resident_bytes", "Memory of the serving worker.", resident_bytes),
    )


def _plain(models: Iterable[ModelCounts], name: str, told: str, field: str) -> Metric:
    samples = tuple(Sample(value=_count(one.snapshot.get(field)), labels=one.labels) for one in models)
    return Metric(name=PREFIX + name, kind="counter", help=told, samples=samples)


def _coded(models: Iterable[ModelCounts], name: str, told: str, field: str) -> Metric:
    samples: list[Sample] = []
    for one in models:
        codes = one.snapshot.get(field)
        if isinstance(codes, Mapping):
            for code, count in sorted(codes.items()):
                samples.append(Sample(value=_count(count), labels={**one.labels, "code": code}))
    return Metric(name=PREFIX + name, kind="counter", help=told, samples=tuple(samples))


def _latency(models: Iterable[ModelCounts]) -> Iterator[Sample]:
    for one in models:
        buckets = one.snapshot.get("latency")
        if not isinstance(buckets, Sequence) or isinstance(buckets, str):
            continue
        edges = [f"{edge / 1e6:g}" for edge in LATENCY_EDGES_US] + ["+Inf"]
        below = list(accumulate(_count(bucket) for bucket in buckets))
        for edge, count in zip(edges, below, strict=False):
            yield Sample(suffix="_bucket", value=count, labels={**one.labels, "le": edge})
        yield Sample(suffix="_count", value=below[-1] if below else 0, labels=one.labels)


def _gauge(name: str, told: str, value: int) -> Metric:
    return Metric(name=PREFIX + name, kind="gauge", help=told, samples=(Sample(value=value),))


def _count(value: JsonValue) -> int:
    return value if isinstance(value, int) else 0

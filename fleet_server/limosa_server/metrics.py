"""`/metrics`: names and labels as in telemetry 6.1; never a device id."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


@dataclass(frozen=True, slots=True)
class Metrics:
    """A registry of its own per server; others add theirs to `registry`."""

    registry: CollectorRegistry
    sketch_reports: Counter = field(init=False)
    reports: Counter = field(init=False)
    deltas: Counter = field(init=False)
    delta_bytes_saved: Counter = field(init=False)
    devices: Gauge = field(init=False)
    outbox: Gauge = field(init=False)

    def __post_init__(self) -> None:
        def put(name: str, metric: Counter | Gauge) -> None:
            object.__setattr__(self, name, metric)

        put(
            "sketch_reports",
            Counter(
                "limosa_sketch_reports", "Telemetry windows by what became of them", ["result"],
                registry=self.registry,
            ),
        )  # fmt: skip
        put(
            "reports",
            Counter(
                "limosa_reports", "Signed messages of devices by kind and what became of them",
                ["kind", "result"], registry=self.registry,
            ),
        )  # fmt: skip
        put(
            "deltas",
            Counter(
                "limosa_deltas", "Deltas between blobs by what became of them", ["result"],
                registry=self.registry,
            ),
        )  # fmt: skip
        put(
            "delta_bytes_saved",
            Counter(
                "limosa_delta_bytes_saved", "Bytes of blobs that deltas stood for, less their own",
                registry=self.registry,
            ),
        )  # fmt: skip
        put("devices", Gauge("limosa_devices", "Devices by state", ["state"], registry=self.registry))
        put(
            "outbox",
            Gauge("limosa_outbox_messages", "Messages waiting for the broker", registry=self.registry),
        )

    def render(self) -> bytes:
        """The classic text format."""
        return generate_latest(self.registry)


def make_metrics() -> Metrics:
    return Metrics(CollectorRegistry())

"""`/metrics`: names and labels as in telemetry 6.1; never a device id."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

TICK_EDGES_S = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)


@dataclass(frozen=True, slots=True)
class Metrics:
    """A registry of its own per server; others add theirs to `registry`."""

    registry: CollectorRegistry
    sketch_reports: Counter
    reports: Counter
    deltas: Counter
    delta_bytes_saved: Counter
    devices: Gauge
    outbox: Gauge
    rollouts: Gauge
    broker_up: Gauge
    tick_seconds: Histogram
    loop_failures: Counter
    expiry_seconds: Gauge
    without_new_root: Gauge
    alerts_firing: Gauge
    webhook_messages: Counter

    def render(self) -> bytes:
        """The classic text format."""
        return generate_latest(self.registry)


def make_metrics() -> Metrics:
    registry = CollectorRegistry()

    def counter(name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=registry)

    def gauge(name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, registry=registry)

    return Metrics(
        registry=registry,
        sketch_reports=counter("limosa_sketch_reports", "Telemetry windows by what became of them", "result"),
        reports=counter(
            "limosa_reports", "Signed messages of devices by kind and what became of them", "kind", "result"
        ),
        deltas=counter("limosa_deltas", "Deltas between blobs by what became of them", "result"),
        delta_bytes_saved=counter(
            "limosa_delta_bytes_saved", "Bytes of blobs that deltas stood for, less their own"
        ),
        devices=gauge("limosa_devices", "Devices by state", "state"),
        outbox=gauge("limosa_outbox_messages", "Messages waiting for the broker"),
        rollouts=gauge("limosa_rollouts", "Rollouts by status", "status"),
        broker_up=gauge("limosa_broker_up", "1 while the server is connected to the broker"),
        tick_seconds=Histogram(
            "limosa_controller_tick_seconds", "Time of one tick of the controller", buckets=TICK_EDGES_S,
            registry=registry,
        ),
        expiry_seconds=gauge("limosa_expiry_seconds", "Until something ends, by what it is", "what", "name"),
        without_new_root=gauge(
            "limosa_devices_without_new_root", "Devices without the newest root CA, while it is rotated"
        ),
        loop_failures=counter("limosa_loop_failures", "Rounds of a background loop that failed", "loop"),
        alerts_firing=gauge("limosa_alerts_firing", "Alerts that fire, silenced or not", "rule", "severity"),
        webhook_messages=counter(
            "limosa_webhook_messages", "Attempts to tell a webhook by what became of them", "result"
        ),
    )  # fmt: skip

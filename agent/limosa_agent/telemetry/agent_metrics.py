"""What the supervisor tells of itself in `/metrics` on the device. Pure: facts in, metrics out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from limosa_agent.telemetry.prometheus import Metric, Sample

PREFIX = "limosa_agent_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """`serving` is "" where nothing answers for this model."""

    model: str
    phase: str
    serving: str
    manifest_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFacts:
    """At one moment. Times are Unix seconds."""

    version: str
    started_at: float
    mqtt_up: bool
    outbox_rows: int
    outbox_bytes: int
    outbox_max_bytes: int
    refused_desired: Mapping[str, int]
    desired_expires_at: float  # 0 before the first document
    certificate_expires_at: float
    clock: str
    requests_lost: int
    generation: int
    resident_bytes: int
    disk_free_bytes: int
    models: tuple[ModelFacts, ...] = field(default=())


def agent_metrics(facts: AgentFacts) -> tuple[Metric, ...]:
    return (
        _one("info", "gauge", "The agent's version.", 1, version=facts.version),
        _one("start_time_seconds", "gauge", "When this process began, Unix time.", facts.started_at),
        _one("mqtt_up", "gauge", "1 while the broker is connected.", facts.mqtt_up),
        _one("outbox_rows", "gauge", "Reports that the server has not acknowledged.", facts.outbox_rows),
        _one("outbox_bytes", "gauge", "Bytes of these reports.", facts.outbox_bytes),
        _one("outbox_max_bytes", "gauge", "Bytes they may take.", facts.outbox_max_bytes),
        _one("clock_state", "gauge", "What the device thinks of its clock.", 1, state=facts.clock),
        _one(
            "desired_expires_seconds", "gauge", "When the desired state expires, Unix time; 0 for none.",
            facts.desired_expires_at,
        ),
        Metric(
            name=f"{PREFIX}certificate_expires_seconds", kind="gauge",
            help="When this device's certificate expires, Unix time.",
            samples=(Sample(value=facts.certificate_expires_at, labels={}),)
            if facts.certificate_expires_at else (),  # not 0 before it was looked at: alarms watch it
        ),
        _one("worker_generation", "gauge", "Number of the serving worker.", facts.generation),
        _one(
            "requests_lost_total", "counter", "Requests inside workers that ended without being asked to.",
            facts.requests_lost,
        ),
        _one("resident_bytes", "gauge", "Memory of the supervisor.", facts.resident_bytes),
        _one("disk_free_bytes", "gauge", "Free space of the state folder's disk.", facts.disk_free_bytes),
        Metric(
            name=f"{PREFIX}desired_refused_total", kind="counter",
            help="Desired states that were not obeyed, by error code.",
            samples=tuple(
                Sample(value=count, labels={"code": code})
                for code, count in sorted(facts.refused_desired.items())
            ),
        ),
        Metric(
            name=f"{PREFIX}model_phase", kind="gauge", help="Where the update of each model stands.",
            samples=tuple(
                Sample(value=1, labels={"model": one.model, "phase": one.phase}) for one in facts.models
            ),
        ),
        Metric(
            name=f"{PREFIX}model_serving", kind="gauge",
            help="1 for the version that answers; 0 without a version where none does.",
            samples=tuple(
                Sample(
                    value=bool(one.serving),
                    labels={
                        "model": one.model, "version": one.serving, "manifest": one.manifest_sha256[:16]
                    },
                )
                for one in facts.models
            ),
        ),
    )  # fmt: skip


def _one(name: str, kind: str, told: str, value: float, **labels: str) -> Metric:
    return Metric(
        name=PREFIX + name, kind=kind, help=told, samples=(Sample(value=float(value), labels=labels),)
    )

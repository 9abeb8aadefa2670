"""What a device says of itself: `reported`, signed and sent whenever it changes (server 3.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import MODEL, NAME, SHA256_HEX, check_version
from limosa_contracts.phases import Phase

SCHEMA: Final = "limosa.reported/1"
_PHASES: Final = tuple(phase.value for phase in Phase)
SEEN_MAX: Final = 2**62
"""A server goes on above what a device has seen (trust 4.3): a device that lies must not lead it to
where there is no next number. In milliseconds this is far beyond the sun's life."""
CLOCKS: Final = ("none", "rtc", "ntp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One release in one slot: index and manifest digests, 64 hex digits each."""

    version: str
    index_sha256: str
    manifest_sha256: str
    variant: str = ""

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        return cls(
            version=check_version(fields.text("version")),
            index_sha256=fields.text("index_sha256", pattern=SHA256_HEX),
            manifest_sha256=fields.text("manifest_sha256", pattern=SHA256_HEX),
            variant=fields.optional("variant", lambda n: fields.text(n, max_chars=128, empty=True), ""),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "version": self.version,
            "index_sha256": self.index_sha256,
            "manifest_sha256": self.manifest_sha256,
            "variant": self.variant,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedModel:
    """`active` answers requests now; `previous` is kept; `candidate` is on its way."""

    model: str
    phase: Phase
    active: Installed | None = None
    previous: Installed | None = None
    candidate: Installed | None = None
    rollout: str = ""
    attempt: int = 1
    reason: str = ""
    quarantined: tuple[str, ...] = ()
    extra: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)

        def installed(name: str) -> Installed:
            return Installed.parse(fields.fields(name))

        return cls(
            model=fields.text("model", pattern=MODEL),
            phase=Phase(fields.choice("phase", _PHASES)),
            active=fields.maybe("active", installed),
            previous=fields.maybe("previous", installed),
            candidate=fields.maybe("candidate", installed),
            rollout=fields.optional("rollout", lambda n: fields.text(n, max_chars=64, empty=True), ""),
            attempt=fields.optional("attempt", lambda n: fields.integer(n, low=1, high=1000), 1),
            reason=fields.optional("reason", lambda n: fields.text(n, max_chars=1024, empty=True), ""),
            quarantined=fields.optional(
                "quarantined", lambda n: fields.texts(n, pattern=SHA256_HEX, max_items=256), ()
            ),
            extra=fields.rest(),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            **self.extra,
            "model": self.model,
            "phase": self.phase.value,
            "active": self.active.as_json() if self.active else None,
            "previous": self.previous.as_json() if self.previous else None,
            "candidate": self.candidate.as_json() if self.candidate else None,
            "rollout": self.rollout,
            "attempt": self.attempt,
            "reason": self.reason,
            "quarantined": list(self.quarantined),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """`capabilities`: arch, cpu_features, runtimes {name: version}, memory_bytes, profile.
    `resources`: disk_free_bytes, rss_bytes and whatever else is measured."""

    device: str
    agent: str
    boot: str
    clock: str
    at: float  # Unix seconds by the device's clock
    desired: tuple[int, int]  # (epoch, counter) last accepted
    models: tuple[ReportedModel, ...]
    capabilities: JsonObject = field(default_factory=dict)
    resources: JsonObject = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    extra: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge."""
        value = parse_object(data, what="reported state", max_bytes=LIMITS.mqtt_message_max_bytes)
        fields = Fields(value, where="reported")
        fields.schema(SCHEMA)
        desired = fields.fields("desired")
        return cls(
            device=fields.text("device", pattern=NAME),
            agent=fields.text("agent", max_chars=64),
            boot=fields.text("boot", max_chars=64),
            clock=fields.choice("clock", CLOCKS),
            at=fields.number("at", low=0, high=1e11),
            desired=(
                desired.integer("epoch", low=0, high=SEEN_MAX),
                desired.integer("counter", low=0, high=SEEN_MAX),
            ),
            models=tuple(
                ReportedModel.parse(item, where=place)
                for place, item in fields.items("models", max_items=LIMITS.models_per_device_max)
            ),
            capabilities=fields.optional("capabilities", fields.object, {}),
            resources=fields.optional("resources", fields.object, {}),
            labels=fields.optional("labels", lambda n: fields.text_map(n, max_items=LIMITS.labels_max), {}),
            extra=fields.rest(),
        )

    def encode(self) -> bytes:
        return encode_canonical(
            {
                **self.extra,
                "schema": SCHEMA,
                "device": self.device,
                "agent": self.agent,
                "boot": self.boot,
                "clock": self.clock,
                "at": self.at,
                "desired": {"epoch": self.desired[0], "counter": self.desired[1]},
                "models": [model.as_json() for model in self.models],
                "capabilities": self.capabilities,
                "resources": self.resources,
                "labels": self.labels,
            }
        )

"""Events a device sends once and the server counts once: updates, health, alarms (server 3.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import MODEL, NAME, SHA256_HEX, check_version
from limosa_contracts.phases import Phase

SCHEMA: Final = "limosa.event/1"
KINDS: Final = ("update", "health", "alarm")
_PHASES: Final = tuple(phase.value for phase in Phase)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why: a code such as `worker_crashed`, a sentence, and the numbers behind it."""

    code: str
    message: str
    evidence: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateEvent:
    """An attempt reached a phase. `key` names the event: a second one with it changes nothing."""

    device: str
    key: str
    kind: str
    model: str
    version: str
    index_sha256: str
    manifest_sha256: str  # "" before the variant is known; a verdict names the digest that served
    rollout: str
    attempt: int
    phase: Phase
    reason: Reason
    at: float  # Unix seconds by the device's clock
    boot: str
    extra: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge."""
        value = parse_object(data, what="event", max_bytes=LIMITS.mqtt_message_max_bytes)
        fields = Fields(value, where="event")
        fields.schema(SCHEMA)
        reason = fields.fields("reason")
        return cls(
            device=fields.text("device", pattern=NAME),
            key=fields.text("key", max_chars=256),
            kind=fields.choice("kind", KINDS),
            model=fields.text("model", pattern=MODEL),
            version=check_version(fields.text("version")),
            index_sha256=fields.text("index_sha256", pattern=SHA256_HEX),
            manifest_sha256=fields.optional(
                "manifest_sha256", lambda n: fields.text(n, max_chars=64, empty=True), ""
            ),
            rollout=fields.text("rollout", max_chars=64, empty=True),
            attempt=fields.integer("attempt", low=1, high=1000),
            phase=Phase(fields.choice("phase", _PHASES)),
            reason=Reason(
                code=reason.text("code", max_chars=64, empty=True),
                message=reason.text("message", max_chars=2048, empty=True),
                evidence=reason.optional("evidence", reason.object, {}),
            ),
            at=fields.number("at", low=0, high=1e11),
            boot=fields.text("boot", max_chars=64),
            extra=fields.rest(),
        )

    def encode(self) -> bytes:
        return encode_canonical(
            {
                **self.extra,
                "schema": SCHEMA,
                "device": self.device,
                "key": self.key,
                "kind": self.kind,
                "model": self.model,
                "version": self.version,
                "index_sha256": self.index_sha256,
                "manifest_sha256": self.manifest_sha256,
                "rollout": self.rollout,
                "attempt": self.attempt,
                "phase": self.phase.value,
                "reason": {
                    "code": self.reason.code,
                    "message": self.reason.message,
                    "evidence": self.reason.evidence,
                },
                "at": self.at,
                "boot": self.boot,
            }
        )

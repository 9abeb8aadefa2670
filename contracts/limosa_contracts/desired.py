"""Desired state: what one device shall run, signed by the director (trust 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import MODEL, NAME, SHA256_HEX, check_version

SCHEMA: Final = "limosa.desired/1"
PAYLOAD_TYPE: Final = "application/vnd.limosa.desired+json"
MODES: Final = ("active", "shadow", "absent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What must hold before a device commits (agent 4.2)."""

    inferences: int = 100  # answered in probation
    seconds: float = 120.0  # or this long, with golden vectors replayed where there is no traffic
    max_seconds: float = 3600.0  # a trial never lasts longer
    max_error_ratio: float = 0.02  # failed inferences of all
    max_latency_ratio: float = 2.0  # p95 against the previous version's own
    max_class_distance: float = 0.5  # total variation distance of output classes to the baseline, 0..1
    commit_needs_link: bool = False

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        return cls(
            inferences=fields.optional(
                "inferences", lambda n: fields.integer(n, low=1, high=10_000_000), 100
            ),
            seconds=fields.optional("seconds", lambda n: fields.number(n, low=0.1, high=86400), 120.0),
            max_seconds=fields.optional(
                "max_seconds", lambda n: fields.number(n, low=0.1, high=604800), 3600.0
            ),
            max_error_ratio=fields.optional(
                "max_error_ratio", lambda n: fields.number(n, low=0, high=1), 0.02
            ),
            max_latency_ratio=fields.optional(
                "max_latency_ratio", lambda n: fields.number(n, low=1, high=1000), 2.0
            ),
            max_class_distance=fields.optional(
                "max_class_distance", lambda n: fields.number(n, low=0, high=1), 0.5
            ),
            commit_needs_link=fields.optional("commit_needs_link", fields.boolean, False),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "inferences": self.inferences,
            "seconds": self.seconds,
            "max_seconds": self.max_seconds,
            "max_error_ratio": self.max_error_ratio,
            "max_latency_ratio": self.max_latency_ratio,
            "max_class_distance": self.max_class_distance,
            "commit_needs_link": self.commit_needs_link,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredModel:
    """One model of the device. `rollout` is "" for an assignment outside any rollout."""

    model: str
    version: str
    index_sha256: str  # of the image index blob, 64 hex digits
    mode: str = "active"
    rollout: str = ""
    attempt: int = 1
    trial: Trial = field(default_factory=Trial)
    window: JsonObject | None = None
    permit: JsonObject | None = None
    extra: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        return cls(
            model=fields.text("model", pattern=MODEL),
            version=check_version(fields.text("version")),
            index_sha256=fields.text("index_sha256", pattern=SHA256_HEX),
            mode=fields.choice("mode", MODES),
            rollout=fields.optional("rollout", lambda n: fields.text(n, max_chars=64, empty=True), ""),
            attempt=fields.optional("attempt", lambda n: fields.integer(n, low=1, high=1000), 1),
            trial=fields.optional("trial", lambda n: Trial.parse(fields.fields(n)), Trial()),
            window=fields.maybe("window", fields.object),
            permit=fields.maybe("permit", fields.object),
            extra=fields.rest(),
        )

    def as_json(self) -> dict[str, JsonValue]:
        result: dict[str, JsonValue] = {
            **self.extra,
            "model": self.model,
            "version": self.version,
            "index_sha256": self.index_sha256,
            "mode": self.mode,
            "rollout": self.rollout,
            "attempt": self.attempt,
            "trial": self.trial.as_json(),
        }
        if self.window is not None:
            result["window"] = self.window
        if self.permit is not None:
            result["permit"] = self.permit
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Farewell:
    """The device is taken out of the fleet for good. What it runs it goes on running (trust 4.2)."""

    at: int  # Unix seconds
    reason: str = ""

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        return cls(
            at=fields.integer("at", low=0),
            reason=fields.optional("reason", lambda n: fields.text(n, max_chars=1024, empty=True), ""),
        )

    def as_json(self) -> JsonObject:
        return {"at": self.at, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredState:
    """The whole document of one device. Times are Unix seconds, UTC."""

    device: str
    epoch: int
    counter: int  # max(previous + 1, Unix milliseconds), trust 4.3
    issued: int
    expires: int
    models: tuple[DesiredModel, ...]
    report_every_s: float = 300.0  # telemetry 3.3
    report_every_in_probation_s: float = 10.0
    audit_head: str = ""
    decommissioned: Farewell | None = None  # its last document; older agents see one that names no model
    extra: JsonObject = field(default_factory=dict)

    @property
    def order(self) -> tuple[int, int]:
        """What must grow from document to document."""
        return (self.epoch, self.counter)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge. Says nothing about signatures."""
        value = parse_object(data, what="desired state", max_bytes=LIMITS.mqtt_message_max_bytes)
        fields = Fields(value, where="desired")
        fields.schema(SCHEMA)
        models = tuple(
            DesiredModel.parse(item, where=place)
            for place, item in fields.items("models", max_items=LIMITS.models_per_device_max)
        )
        names = [model.model for model in models if model.mode != "shadow"]
        if len(set(names)) != len(names):
            raise InvalidField("a model occurs twice", where="desired.models")
        nothing: JsonObject = {}
        telemetry = Fields(fields.optional("telemetry", fields.object, nothing), where="desired.telemetry")
        state = cls(
            device=fields.text("device", pattern=NAME),
            epoch=fields.integer("epoch", low=0),
            counter=fields.integer("counter", low=0),
            issued=fields.integer("issued", low=0),
            expires=fields.integer("expires", low=0),
            models=models,
            report_every_s=telemetry.optional(
                "report_every_s", lambda n: telemetry.number(n, low=0.5, high=86400), 300.0
            ),
            report_every_in_probation_s=telemetry.optional(
                "report_every_in_probation_s", lambda n: telemetry.number(n, low=0.5, high=86400), 10.0
            ),
            audit_head=fields.optional(
                "audit_head", lambda n: fields.text(n, max_chars=4096, empty=True), ""
            ),
            decommissioned=fields.maybe("decommissioned", lambda n: Farewell.parse(fields.fields(n))),
            extra=fields.rest(),
        )
        if state.expires <= state.issued:
            raise InvalidField("the document expires before it is issued", where="desired.expires")
        return state

    def encode(self) -> bytes:
        last: JsonObject = {"decommissioned": self.decommissioned.as_json()} if self.decommissioned else {}
        return encode_canonical(
            {
                **self.extra,
                **last,
                "schema": SCHEMA,
                "device": self.device,
                "epoch": self.epoch,
                "counter": self.counter,
                "issued": self.issued,
                "expires": self.expires,
                "models": [model.as_json() for model in self.models],
                "telemetry": {
                    "report_every_s": self.report_every_s,
                    "report_every_in_probation_s": self.report_every_in_probation_s,
                },
                "audit_head": self.audit_head,
            }
        )

"""Enrolment by token and certificate request (trust 6.1): what goes over, and what comes back."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.names import NAME

REQUEST_SCHEMA: Final = "limosa.enroll/1"
ANSWER_SCHEMA: Final = "limosa.enrolled/1"
ENROLL_TOKEN: Final = re.compile(r"lmt_[a-z0-9]{12}\.[A-Za-z0-9_-]{43}")
"""`lmt_<id>.<secret>`: 12 characters of id, 256 bits of secret in base64url."""
API_TOKEN: Final = re.compile(r"lmp_[a-z0-9]{12}\.[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollRequest:
    token: str
    csr_pem: str  # P-256, signed by the key it carries; subject and extensions are ignored
    serial: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    capabilities: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, value: JsonValue) -> Self:
        """Raises InvalidField; the token never enters the message."""
        fields = Fields(value, where="enroll")
        fields.schema(REQUEST_SCHEMA)
        token = fields.text("token", max_chars=128)
        if not ENROLL_TOKEN.fullmatch(token):
            raise fields.wrong("token", "it does not look like lmt_<id>.<secret>")
        nothing: dict[str, str] = {}
        return cls(
            token=token,
            csr_pem=fields.text("csr", max_chars=8192),
            serial=fields.optional("serial", lambda n: fields.text(n, max_chars=128, empty=True), ""),
            labels=fields.optional("labels", lambda n: fields.text_map(n, max_items=32), nothing),
            capabilities=fields.optional("capabilities", fields.object, {}),
        )

    def encode(self) -> bytes:
        return encode_canonical(
            {
                "schema": REQUEST_SCHEMA,
                "token": self.token,
                "csr": self.csr_pem,
                "serial": self.serial,
                "labels": dict(self.labels),
                "capabilities": self.capabilities,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """All a device needs from then on. PEM texts; `tuf_root` is the root's metadata as text."""

    device: str
    certificate_pem: str  # leaf first, then the intermediate
    ca_pem: str  # for the device's own checks of server and broker
    tuf_root: str
    mqtt_host: str
    mqtt_port: int
    mqtt_tls: bool  # false only on loopback, for development
    extra: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        fields = Fields(parse_object(data, what="enrolment answer"), where="enrolled")
        fields.schema(ANSWER_SCHEMA)
        mqtt = fields.fields("mqtt")
        return cls(
            device=fields.text("device", pattern=NAME),
            certificate_pem=fields.text("certificate", max_chars=32768),
            ca_pem=fields.text("ca", max_chars=32768),
            tuf_root=fields.text("tuf_root", max_chars=524288),
            mqtt_host=mqtt.text("host", max_chars=255),
            mqtt_port=mqtt.integer("port", low=1, high=65535),
            mqtt_tls=mqtt.boolean("tls"),
            extra=fields.rest(),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            **self.extra,
            "schema": ANSWER_SCHEMA,
            "device": self.device,
            "certificate": self.certificate_pem,
            "ca": self.ca_pem,
            "tuf_root": self.tuf_root,
            "mqtt": {"host": self.mqtt_host, "port": self.mqtt_port, "tls": self.mqtt_tls},
        }

"""What an operator asks one device at this moment, and what it answers (server 3.1).

A command is signed by the director, an answer by the device: a broker can neither ask for logs nor
make them up. Commands only read; what a device shall run stands in its desired state alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import MODEL, NAME

SCHEMA: Final = "limosa.command/1"
ANSWER_SCHEMA: Final = "limosa.answer/1"
COMMAND_TYPE: Final = "application/vnd.limosa.command+json"
ANSWER_TYPE: Final = "application/vnd.limosa.answer+json"
LEAST_LIFE_S: Final = 60
MOST_LIFE_S: Final = 300
LINES_MAX: Final = 500
LINES_DEFAULT: Final = 100
LEVELS: Final = ("debug", "info", "warning", "error")
ANSWER_MAX_BYTES: Final = 44 * 1024
"""Of an answer before it is signed: base64 makes a third more of it, and one message carries 64 KiB."""


class Kind(Enum):
    LOGS = "logs"
    """The newest lines of its log."""
    STATUS = "status"
    """What it serves, what it waits for, how its links are."""
    IDENTIFY = "identify"
    """It makes itself noticed: runs the program that its owner configured, and says which one it is."""


class Outcome(Enum):
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCommand:
    """`lines`, `level`, `model` and `since` (a time stamp as the log has it) are for `logs`."""

    id: str
    device: str
    kind: Kind
    issued: float  # Unix seconds
    expires: float  # Unix seconds
    lines: int = LINES_DEFAULT
    level: str = "debug"
    model: str = ""
    since: str = ""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge."""
        fields = Fields(parse_object(data, what="command", max_bytes=4096), where="command")
        fields.schema(SCHEMA)
        base = cls(id="0", device="d", kind=Kind.STATUS, issued=0.0, expires=0.0)
        return cls(
            id=fields.text("id", pattern=NAME),
            device=fields.text("device", pattern=NAME),
            kind=Kind(fields.choice("kind", tuple(kind.value for kind in Kind))),
            issued=fields.number("issued", low=0, high=1e11),
            expires=fields.number("expires", low=0, high=1e11),
            lines=fields.optional("lines", lambda n: fields.integer(n, low=1, high=LINES_MAX), base.lines),
            level=fields.optional("level", lambda n: fields.choice(n, LEVELS), base.level),
            model=fields.optional("model", lambda n: _model(fields, n), ""),
            since=fields.optional("since", lambda n: fields.text(n, max_chars=32, empty=True), ""),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "schema": SCHEMA,
            "id": self.id,
            "device": self.device,
            "kind": self.kind.value,
            "issued": self.issued,
            "expires": self.expires,
            "lines": self.lines,
            "level": self.level,
            "model": self.model,
            "since": self.since,
        }

    def encode(self) -> bytes:
        return encode_canonical(self.as_json())


def _model(fields: Fields, name: str) -> str:
    text = fields.text(name, max_chars=160, empty=True)
    return fields.text(name, pattern=MODEL) if text else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAnswer:
    """`body` of `logs`: {lines: [...], cut}; of `status`: as `limosa-agent status --json`; of `identify`:
    {hostname, agent, program, said}. `cut`: more was there than one message carries."""

    id: str
    device: str
    at: float  # Unix seconds by the device's clock
    outcome: Outcome
    why: str = ""  # of a refusal
    cut: bool = False
    body: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge."""
        value = parse_object(data, what="answer", max_bytes=LIMITS.mqtt_message_max_bytes)
        fields = Fields(value, where="answer")
        fields.schema(ANSWER_SCHEMA)
        return cls(
            id=fields.text("id", pattern=NAME),
            device=fields.text("device", pattern=NAME),
            at=fields.number("at", low=0, high=1e11),
            outcome=Outcome(fields.choice("outcome", tuple(one.value for one in Outcome))),
            why=fields.optional("why", lambda n: fields.text(n, max_chars=1024, empty=True), ""),
            cut=fields.optional("cut", fields.boolean, False),
            body=fields.optional("body", fields.object, {}),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "schema": ANSWER_SCHEMA,
            "id": self.id,
            "device": self.device,
            "at": self.at,
            "outcome": self.outcome.value,
            "why": self.why,
            "cut": self.cut,
            "body": self.body,
        }

    def encode(self) -> bytes:
        return encode_canonical(self.as_json())

"""What the supervisor asks of a fetch child, and what it gets back: JSON lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from limosa_agent.fetch.http_source import check_server
from limosa_agent.fetch.limits import FetchLimits
from limosa_agent.fetch.proxy import Proxy
from limosa_contracts.canonical import parse_object
from limosa_contracts.errors import FaultError, LimosaError, RequestError, TransferError, TrustError
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import NAME, SHA256_HEX, VERSION, ModelName, ReleaseName, check_version

INSTALL: Final = "install"
REFRESH: Final = "refresh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The release that is desired, and what this device may not fall below."""

    name: ReleaseName
    index_sha256: str
    committed_counter: int = 0  # 0: nothing was committed yet
    running_may_return_to: tuple[str, ...] = ()
    permit: JsonObject | None = None
    capabilities: JsonObject = field(default_factory=dict)
    quarantined: frozenset[str] = frozenset()  # manifest digests
    byte_budget: int | None = None

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        nothing: JsonObject = {}
        none: tuple[str, ...] = ()
        return cls(
            name=ReleaseName(ModelName.parse(fields.text("model")), check_version(fields.text("version"))),
            index_sha256=fields.text("index_sha256", pattern=SHA256_HEX),
            committed_counter=fields.optional("committed_counter", lambda n: fields.integer(n, low=0), 0),
            running_may_return_to=fields.optional(
                "running_may_return_to", lambda n: fields.texts(n, pattern=VERSION, max_items=64), ()
            ),
            permit=fields.maybe("permit", fields.object),
            capabilities=fields.optional("capabilities", fields.object, nothing),
            quarantined=frozenset(
                fields.optional("quarantined", lambda n: fields.texts(n, pattern=SHA256_HEX), none)
            ),
            byte_budget=fields.maybe("byte_budget", lambda n: fields.integer(n, low=0)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    op: str
    server: str  # base URL without a slash at the end
    state_dir: Path
    access_token: str | None = field(default=None, repr=False)
    authenticate: bool = False  # as the device of the state folder, where no token is given
    ca_file: Path | None = None
    enrolled_ca: Path | None = None  # trusted beside it: the fleet's root CA may be another one by now
    time_floor: float = 0.0  # Unix seconds
    offer: Offer | None = None  # for install
    proxy: Proxy | None = None
    mirror: Path | None = None  # a folder to read instead of the server (trust 3.5)
    device: str = ""  # whose desired document the mirror is asked for; "" for none
    limits: FetchLimits = field(default_factory=FetchLimits)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge."""
        fields = Fields(
            parse_object(data, what="fetch request", max_bytes=LIMITS.document_max_bytes), where="request"
        )
        op = fields.choice("op", (INSTALL, REFRESH))
        return cls(
            op=op,
            server=check_server(fields.text("server", max_chars=2048)),
            state_dir=Path(fields.text("state_dir")),
            access_token=fields.maybe("access_token", lambda n: fields.text(n, max_chars=16384)),
            authenticate=fields.optional("authenticate", fields.boolean, False),
            ca_file=fields.maybe("ca_file", lambda n: Path(fields.text(n))),
            enrolled_ca=fields.maybe("enrolled_ca", lambda n: Path(fields.text(n))),
            time_floor=fields.optional("time_floor", lambda n: fields.number(n, low=0), 0.0),
            offer=Offer.parse(fields) if op == INSTALL else None,
            proxy=fields.maybe("proxy", lambda n: Proxy.parse(fields.fields(n))),
            mirror=fields.maybe("mirror", lambda n: Path(fields.text(n))),
            device=fields.optional("device", lambda n: fields.text(n, pattern=NAME), ""),
            limits=fields.optional("limits", lambda n: FetchLimits.parse(fields.raw(n)), FetchLimits()),
        )


KINDS: Final[Mapping[type[LimosaError], str]] = {
    TrustError: "trust",
    TransferError: "transfer",
    RequestError: "request",
    FaultError: "fault",
}
REASONS: Final[Mapping[str, str]] = {
    "LM-580": "downgrade",
    "LM-581": "expired",
    "LM-586": "no_fitting_variant",
    "LM-587": "agent_too_old",
    "LM-588": "quarantined",
    "LM-592": "budget_spent",
    "LM-595": "disk_full",
    "LM-597": "clock_suspect",
    "LM-528": "mirror",
}
"""Reason codes of events, where there is a closer one than the kind."""


def error_line(error: LimosaError) -> dict[str, JsonValue]:
    """The last line of a fetch that failed: what the update machine does next is in `kind`."""
    kind = next((name for base, name in KINDS.items() if isinstance(error, base)), "fault")
    by_kind = {"trust": "untrusted", "transfer": "transfer", "request": "rejected", "fault": "fault"}
    return {"error": {**error.as_json(), "kind": kind, "reason": REASONS.get(error.code, by_kind[kind])}}

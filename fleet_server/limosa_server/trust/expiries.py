"""What ends, when, and how bad that is: certificates, lists, signed roles, tokens (trust 2.2, 6.3).

`expiries` is what the alerts, `/metrics`, the overview page and `limosa server expiries` show.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from cryptography import x509
from sqlmodel import col, select
from tuf.api.metadata import Metadata, Root

from limosa_contracts.json_value import JsonValue
from limosa_server.tables.access import ApiToken
from limosa_server.trust.pki import fingerprint_of
from limosa_server.trust.revocation_list import expires_at as list_expires_at

if TYPE_CHECKING:
    from limosa_server.state import ServerState

TOP: Final = "targets"
WARNED_S: Final = 30 * 86400.0  # trust 2.2: a warning 30 days before,
URGENT_S: Final = 7 * 86400.0  # and a louder one 7 days before
TOKEN_LIFE_MIN_S: Final = 60 * 86400.0
"""Tokens that live for less were made for one task, and are not missed."""
TOKEN_USED_S: Final = 30 * 86400.0
"""A token that nobody has used for so long is not missed either."""
RENEWED_LATE: Final = 0.25
"""What the server renews by itself is told only when so little of its life is left: it was not renewed."""


class Severity(IntEnum):
    """How bad it is; the higher, the worse."""

    FINE = 0
    WARNING = 1
    """It ends within 30 days."""
    URGENT = 2
    """It ends within 7 days."""
    EXPIRED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """`what` is the kind ("team role"), `name` which one ("vision"); `ends_at` in Unix seconds."""

    what: str
    name: str
    ends_at: float
    severity: Severity
    consequence: str  # one sentence: what stops working then
    remedy: str  # a command

    @property
    def key(self) -> str:
        """The same for as long as it is about the same thing: what alerts are deduplicated by."""
        return f"{self.what}/{self.name}" if self.name else self.what

    def left_s(self, now: float) -> float:
        return self.ends_at - now

    def as_json(self, now: float) -> dict[str, JsonValue]:
        return {
            "what": self.what,
            "name": self.name,
            "ends_at": self.ends_at,
            "left_s": self.left_s(now),
            "severity": self.severity.name.lower(),
            "consequence": self.consequence,
            "remedy": self.remedy,
        }


def severity_of(ends_at: float, *, now: float, life_s: float | None = None) -> Severity:
    """`life_s` for what is renewed by the server: its margins are shares of that life.

    >>> day = 86400.0
    >>> [severity_of(d * day, now=0).name for d in (31, 30, 7, 0)]
    ['FINE', 'WARNING', 'URGENT', 'EXPIRED']
    >>> severity_of(0.6 * day, now=0, life_s=day).name, severity_of(0.2 * day, now=0, life_s=day).name
    ('FINE', 'URGENT')
    """
    left = ends_at - now
    if left <= 0:
        return Severity.EXPIRED
    if life_s is not None:
        return Severity.URGENT if left <= life_s * RENEWED_LATE else Severity.FINE
    if left <= URGENT_S:
        return Severity.URGENT
    return Severity.WARNING if left <= WARNED_S else Severity.FINE


def expiries(state: ServerState, now: float) -> list[Expiry]:
    """Everything that ends, the worst and nearest first. What cannot be read is left out: it is refused
    where it is used."""
    found = [*_roles(state, now), *_certificates(state, now), *_tokens(state, now)]
    return sorted(found, key=lambda one: (-one.severity, one.ends_at, one.key))


def pressing(found: Iterable[Expiry]) -> list[Expiry]:
    """Those that somebody must do something about."""
    return [one for one in found if one.severity > Severity.FINE]


def _roles(state: ServerState, now: float) -> Iterator[Expiry]:
    with suppress(ValueError):
        root = Metadata[Root].from_bytes(state.trust.root().encode()).signed
        yield _expiry("root", "", root.expires.timestamp(), now)
    with state.store.read() as tx:
        ends = state.tuf.ends(tx)
    teams: dict[str, float] = {}
    for (team, role), end in ends.items():
        if role == TOP:
            yield _expiry("targets", "", end, now)
        else:
            teams[team] = min(end, teams.get(team, end))
    for team in sorted(teams):
        yield _expiry("team role", team, teams[team], now)
    limits = state.settings.limits
    lives = {"timestamp": limits.timestamp_expiry_s, "snapshot": limits.snapshot_expiry_s}
    for role, end in state.tuf.served_ends().items():
        yield _expiry(role, "", end, now, life_s=lives[role])


def _certificates(state: ServerState, now: float) -> Iterator[Expiry]:
    with suppress(ValueError):
        roots = state.authority.roots
        for root in roots:
            name = fingerprint_of(root)[:8] if len(roots) > 1 else ""
            yield _expiry("root CA", name, root.not_valid_after_utc.timestamp(), now)
    yield _expiry("device CA", "", state.authority.certificate.not_valid_after_utc.timestamp(), now)
    if state.settings.dev:
        return
    broker = state.settings.broker_folder
    for what, path in (
        ("server certificate", state.trust.path / "server.crt"),
        ("broker client certificate", broker / "server-client.crt"),
    ):
        with suppress(OSError, ValueError):
            chain = x509.load_pem_x509_certificates(path.read_bytes())
            yield _expiry(what, "", min(one.not_valid_after_utc for one in chain).timestamp(), now)
    with suppress(OSError, ValueError):
        pem = (broker / "revoked.crl").read_bytes()
        yield _expiry("revocation list", "", list_expires_at(pem), now)


def _tokens(state: ServerState, now: float) -> Iterator[Expiry]:
    """Those of people and programs that somebody will miss. One that has ended is told no more."""
    token = ApiToken
    query = select(token.name, token.expires_at).where(
        col(token.revoked_at).is_(None),
        col(token.expires_at) > now,
        col(token.expires_at) - col(token.created_at) >= TOKEN_LIFE_MIN_S,
        col(token.last_used_at) > now - TOKEN_USED_S,
    )
    ends: dict[str, float] = {}
    with state.store.read() as tx:
        for name, end in tx.exec(query):
            ends[name] = max(end, ends.get(name, end))  # who has a later one has renewed
    for name in sorted(ends):
        yield _expiry("API token", name, ends[name], now)


def _expiry(what: str, name: str, ends_at: float, now: float, *, life_s: float | None = None) -> Expiry:
    consequence, remedy = _MEANING[what]
    return Expiry(
        what=what,
        name=name,
        ends_at=ends_at,
        severity=severity_of(ends_at, now=now, life_s=life_s),
        consequence=consequence,
        remedy=remedy.format(name=name),
    )


_NO_INSTALL: Final = "devices install nothing any more; what they run goes on"
_MEANING: Final = {
    "root": (_NO_INSTALL, "limosa keys refresh --root --offline DIR --server DATA/trust"),
    "targets": (_NO_INSTALL, "limosa keys refresh --targets --offline DIR --server DATA/trust"),
    "team role": (
        "devices install no release of this team any more; what they run goes on",
        "limosa keys refresh --offline DIR --team {name}, then limosa publish --sync",
    ),
    "snapshot": (_NO_INSTALL, "limosa server run: it signs a new one by itself; look into its log"),
    "timestamp": (_NO_INSTALL, "limosa server run: it signs a new one by itself; look into its log"),
    "device CA": (
        "no device can enrol or renew, and none is let in by the broker",
        "limosa keys rotate device-ca --offline DIR --server DATA/trust",
    ),
    "root CA": (
        "no device reaches the server or the broker, and none is let in",
        "limosa keys rotate root-ca --offline DIR --server DATA/trust",
    ),
    "broker client certificate": (
        "this server no longer reaches its broker",
        "limosa server run: it makes a new one at each start",
    ),
    "API token": (
        "whoever uses it is refused",
        "limosa token create --name {name} --role ROLE",
    ),
    "server certificate": (
        "no device and nobody else reaches the server or the broker",
        "limosa keys rotate server-certificate --server DATA/trust",
    ),
    "revocation list": (
        "the broker lets no device in",
        "limosa server run: it signs a new one by itself; look into its log",
    ),
}

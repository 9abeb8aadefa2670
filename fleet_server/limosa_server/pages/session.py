"""Who is signed in: a signed cookie that names an API token, never the token itself (trust 6.4)."""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import InvalidField, InvalidJson, NotAuthenticated, TooLarge
from limosa_contracts.fields import Fields
from limosa_server.access import tokens
from limosa_server.access.roles import Role
from limosa_server.api.auth import Caller
from limosa_server.pages.limits import LIMITS
from limosa_server.state import ServerState
from limosa_server.tables.access import ApiToken

NONCE_BYTES: Final = 16
COOKIE_MAX_CHARS: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """`nonce` makes it this session and no other: forms are bound to it."""

    token_id: str
    nonce: str
    expires_at: float

    @classmethod
    def begin(cls, token_id: str, *, now: float) -> Self:
        return cls(
            token_id=token_id, nonce=secrets.token_urlsafe(NONCE_BYTES), expires_at=now + LIMITS.session_s
        )

    def cookie(self, state: ServerState) -> str:
        claims = _b64(
            encode_canonical({"token": self.token_id, "nonce": self.nonce, "expires": self.expires_at})
        )
        return f"{claims}.{_mac(state, 'session', claims)}"

    @classmethod
    def read(cls, state: ServerState, cookie: str) -> Self:
        """Raises NotAuthenticated, with one text for every reason."""
        claims, _, mac = cookie.partition(".")
        if len(cookie) > COOKIE_MAX_CHARS or not _same(_mac(state, "session", claims), mac):
            raise NotAuthenticated("nobody is signed in")
        try:
            padded = claims + "=" * (-len(claims) % 4)
            value = parse_object(base64.b64decode(padded, altchars=b"-_", validate=True), what="session")
            fields = Fields(value, where="session")
            session = cls(
                token_id=fields.text("token", max_chars=64),
                nonce=fields.text("nonce", max_chars=64),
                expires_at=fields.number("expires"),
            )
        except (ValueError, InvalidJson, InvalidField, TooLarge) as error:
            raise NotAuthenticated("nobody is signed in") from error
        if state.clock() >= session.expires_at:
            raise NotAuthenticated("the session has ended")
        return session

    def form_proof(self, state: ServerState) -> str:
        """What a form of this session carries, and another site cannot know."""
        return _mac(state, "form", self.nonce)

    def proves(self, state: ServerState, given: str) -> bool:
        return _same(self.form_proof(state), given)


def caller_of(state: ServerState, session: Session) -> Caller:
    """The session is worth what its token is worth now. Raises NotAuthenticated."""
    now = state.clock()
    with state.store.read() as tx:
        row = tx.get(ApiToken, session.token_id)
    if row is None or row.revoked_at is not None or now >= row.expires_at:
        raise NotAuthenticated("the token of this session is not valid any more")
    if row.last_used_at is None or now - row.last_used_at >= tokens.LAST_USE_EVERY_S:
        with state.store.transaction() as tx:
            tokens.touch(tx, row.id, now=now)
    return Caller(token_id=row.id, name=row.name, role=Role(row.role), team=row.team, group=row.group)


def cookie_name(state: ServerState) -> str:
    """With TLS, browsers hold a `__Host-` cookie to this very host and to TLS."""
    return "__Host-limosa" if is_secure(state) else "limosa"


def is_secure(state: ServerState) -> bool:
    return state.endpoints.base_url.startswith("https://")


def _mac(state: ServerState, purpose: str, text: str) -> str:
    """Keys for each purpose are derived from the one of access tokens: neither can pass for another."""
    key = hmac.digest(state.access_tokens.key, f"limosa.pages/1 {purpose}".encode(), "sha256")
    return _b64(hmac.digest(key, text.encode(), "sha256"))


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

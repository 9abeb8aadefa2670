"""Tokens: drawn, kept as sha256, compared in constant time (trust 6.1, 6.4)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import update
from sqlmodel import col

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.enrolment import API_TOKEN
from limosa_contracts.errors import InvalidField, InvalidJson, NotAuthenticated, TooLarge
from limosa_contracts.fields import Fields
from limosa_contracts.names import SHA256_HEX
from limosa_server.access.roles import Role
from limosa_server.store.transaction import Transaction
from limosa_server.tables.access import ApiToken

ID_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
ID_CHARS: Final = 12
SECRET_BYTES: Final = 32
LAST_USE_EVERY_S: Final = 60.0  # a token's last use is written at most this often


@dataclass(frozen=True, slots=True)
class DrawnToken:
    """`text` is shown once; `id` and `secret_sha256` are stored."""

    id: str
    text: str
    secret_sha256: str


def draw(prefix: str) -> DrawnToken:
    """A new token `<prefix>_<id>.<secret>` with 256 bits of secret."""
    token_id = "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_CHARS))
    secret = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode()
    return DrawnToken(id=token_id, text=f"{prefix}_{token_id}.{secret}", secret_sha256=_sha256(secret))


def split(text: str) -> tuple[str, str]:
    """(id, sha256 of the secret) of a token that has its form."""
    head, _, secret = text.partition(".")
    return head.partition("_")[2], _sha256(secret)


def same(stored_sha256: str, given_sha256: str) -> bool:
    return hmac.compare_digest(stored_sha256, given_sha256)


def create_api_token(
    tx: Transaction,
    *,
    name: str,
    role: Role,
    team: str,
    created_by: str,
    at: float,
    expires_at: float,
    group: str = "",
) -> DrawnToken:
    drawn = draw("lmp")
    tx.add(
        ApiToken(
            id=drawn.id,
            secret_sha256=drawn.secret_sha256,
            name=name,
            role=role.value,
            team=team,
            group=group,
            created_at=at,
            created_by=created_by,
            expires_at=expires_at,
        )
    )
    return drawn


def find_api_token(tx: Transaction, text: str, *, now: float) -> ApiToken:
    """The row of a valid token. Raises NotAuthenticated, with one text for every reason."""
    if API_TOKEN.fullmatch(text):
        token_id, sha256 = split(text)
        row = tx.get(ApiToken, token_id)
        if row and same(row.secret_sha256, sha256) and row.revoked_at is None and now < row.expires_at:
            return row
    raise NotAuthenticated("the token is not valid", why="it is unknown, revoked or has expired")


def touch(tx: Transaction, token_id: str, *, now: float) -> None:
    tx.execute(update(ApiToken).where(col(ApiToken.id) == token_id).values(last_used_at=now))


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessClaims:
    """`certificate` is the fingerprint of the one that was shown: the token is worth as much as it is."""

    device: str
    certificate: str


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """10-minute access tokens of devices: claims with an HMAC by a key of this server, no state."""

    key: bytes
    lifetime_s: float

    def issue(self, claims: AccessClaims, *, now: float) -> str:
        text = _b64(
            encode_canonical(
                {
                    "device": claims.device,
                    "certificate": claims.certificate,
                    "expires": now + self.lifetime_s,
                }
            )
        )
        return f"lmd_{text}.{_b64(self._mac(text))}"

    def claims_of(self, token: str, *, now: float) -> AccessClaims:
        """Whom it was issued to. Raises NotAuthenticated."""
        text, _, mac = token.removeprefix("lmd_").partition(".")
        # As bytes: a header may hold characters on which a comparison of texts raises.
        if not hmac.compare_digest(_b64(self._mac(text)).encode(), mac.encode()):
            raise NotAuthenticated("the access token is not valid", hint="ask for a new one")
        try:
            fields = Fields(parse_object(_unb64(text), what="access token"), where="access token")
            claims = AccessClaims(
                device=fields.text("device", max_chars=64),
                certificate=fields.text("certificate", pattern=SHA256_HEX),
            )
            expires = fields.number("expires")
        except (ValueError, InvalidJson, InvalidField, TooLarge) as error:
            raise NotAuthenticated("the access token is not valid", hint="ask for a new one") from error
        if now >= expires:
            raise NotAuthenticated("the access token has expired", hint="ask for a new one")
        return claims

    def _mac(self, claims: str) -> bytes:
        return hmac.digest(self.key, claims.encode(), "sha256")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)

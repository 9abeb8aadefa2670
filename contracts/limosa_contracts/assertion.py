"""The assertion with which a device asks for an access token: RFC 7523 private_key_jwt, ES256 (trust 6.2).

Its certificate travels in the `x5c` header (RFC 7515 4.1.6). What this checks is the signature by
the certificate's key and the claims; that the certificate is one of ours is the server's check.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import InvalidField, SignatureMismatch
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.signing_keys import PublicKey, SigningKey

if TYPE_CHECKING:
    from cryptography import x509  # 2 MB, and only who checks assertions needs it

GRANT_TYPE: Final = "client_credentials"
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFETIME_S: Final = 60.0  # an assertion is used at once
LEEWAY_S: Final = 300.0  # devices' clocks are wrong; replay is stopped by `jti`
ASSERTION_MAX_CHARS: Final = 8192
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """Claims that were signed by the key in `certificate`. Times are Unix seconds."""

    device: str
    audience: str
    issued: float
    expires: float
    jti: str
    certificate: x509.Certificate


def make_assertion(
    key: SigningKey, certificate_pem: bytes, *, device: str, audience: str, now: float, jti: str
) -> str:
    x5c: list[JsonValue] = ["".join(found.split()) for found in _PEM.findall(certificate_pem.decode())]
    header: dict[str, JsonValue] = {"alg": "ES256", "typ": "JWT", "x5c": x5c}
    claims: dict[str, JsonValue] = {
        "iss": device,
        "sub": device,
        "aud": audience,
        "iat": int(now),
        "exp": int(now + LIFETIME_S),
        "jti": jti,
    }
    message = f"{_b64url(encode_canonical(header))}.{_b64url(encode_canonical(claims))}"
    r, s = decode_dss_signature(key.sign(message.encode()))
    return f"{message}.{_b64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def parse_assertion(text: str, *, audience: str, now: float) -> Assertion:
    """Raises InvalidField, SignatureMismatch. Trusts nothing but the key inside: check the
    certificate's chain, revocation and `jti` afterwards."""
    parts = text.split(".")
    if len(text) > ASSERTION_MAX_CHARS or len(parts) != 3:
        raise InvalidField("not a signed assertion", where="client_assertion")
    head, claims, raw = (_unb64url(part) for part in parts)
    header = Fields(parse_object(head, what="assertion header"), where="assertion.header")
    header.choice("alg", ("ES256",))
    certificate, key = _leaf(header)
    if len(raw) != 64 or not key.verifies(
        encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")),
        f"{parts[0]}.{parts[1]}".encode(),
    ):
        raise SignatureMismatch(
            "an assertion is not signed by the key of its certificate", where="client_assertion"
        )
    fields = Fields(parse_object(claims, what="assertion"), where="assertion")
    assertion = Assertion(
        device=fields.text("sub", max_chars=64),
        audience=fields.text("aud", max_chars=1024),
        issued=fields.number("iat", low=0),
        expires=fields.number("exp", low=0),
        jti=fields.text("jti", max_chars=64),
        certificate=certificate,
    )
    if fields.text("iss", max_chars=64) != assertion.device:
        raise fields.wrong("iss", "it must be the subject")
    if assertion.audience != audience:
        raise fields.wrong("aud", f"it must be {audience!r}")
    if assertion.expires - assertion.issued > LEEWAY_S:
        raise fields.wrong("exp", f"an assertion lives {LEEWAY_S:g} seconds at most")
    if not assertion.issued - LEEWAY_S <= now <= assertion.expires + LEEWAY_S:
        raise fields.wrong("exp", "the assertion is not of now: check the device's clock")
    return assertion


def _leaf(header: Fields) -> tuple[x509.Certificate, PublicKey]:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    chain = header.texts("x5c", max_items=4)
    try:
        certificate = x509.load_der_x509_certificate(base64.b64decode(chain[0], validate=True))
        return certificate, PublicKey.of(certificate.public_key())
    except (IndexError, ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise InvalidField("x5c holds no certificate", where="assertion.header.x5c") from error


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64url(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidField("not base64url", where="client_assertion") from error

"""RFC 7523 assertions: made by devices, judged by the server (trust 6.2)."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.assertion import LEEWAY_S, LIFETIME_S, make_assertion, parse_assertion
from limosa_contracts.errors import InvalidField, LimosaError, SignatureMismatch
from limosa_contracts.signing_keys import Algorithm, SigningKey
from tests.support import documents as some
from tests.support.golden import GOLDEN

KEY = SigningKey.parse((GOLDEN / "p256.pem").read_bytes())
AUDIENCE = "https://fleet.example.com/api/v1/device/token"
NOW = 1767225600.0


def certificate(key: SigningKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dev-0017")])
    start = datetime.fromtimestamp(NOW, UTC)
    assert isinstance(key.raw, ec.EllipticCurvePrivateKey)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public.raw)
        .serial_number(17)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=7))
        .sign(key.raw, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


CERTIFICATE = certificate(KEY)


def made(
    *, device: str = "dev-0017", audience: str = AUDIENCE, key: SigningKey = KEY, jti: str = "j1"
) -> str:
    return make_assertion(key, CERTIFICATE, device=device, audience=audience, now=NOW, jti=jti)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@given(some.names, some.texts)
def test_any_assertion_is_read_as_it_was_made(device: str, jti: str) -> None:
    claims = parse_assertion(made(device=device, jti=jti), audience=AUDIENCE, now=NOW)
    assert (claims.device, claims.jti, claims.issued, claims.expires) == (device, jti, NOW, NOW + LIFETIME_S)
    assert claims.certificate == x509.load_pem_x509_certificate(CERTIFICATE)


def test_header_and_claims_are_those_of_the_standard() -> None:
    """A JWS in compact form with a 64-byte signature (RFC 7518 3.4), the certificate in x5c."""
    header, claims, signature = (
        base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) for text in made().split(".")
    )
    assert json.loads(header)["alg"] == "ES256"
    der = x509.load_pem_x509_certificate(CERTIFICATE).public_bytes(serialization.Encoding.DER)
    assert json.loads(header)["x5c"] == [base64.b64encode(der).decode()]
    assert json.loads(claims) == {
        "iss": "dev-0017", "sub": "dev-0017", "aud": AUDIENCE, "iat": NOW, "exp": NOW + 60, "jti": "j1",
    }  # fmt: skip
    assert len(signature) == 64


@pytest.mark.parametrize("now", [NOW - LEEWAY_S - 1, NOW + LIFETIME_S + LEEWAY_S + 1])
def test_assertion_of_another_hour_is_refused(now: float) -> None:
    with pytest.raises(InvalidField, match="clock"):
        parse_assertion(made(), audience=AUDIENCE, now=now)


def test_assertion_for_another_server_is_refused() -> None:
    with pytest.raises(InvalidField):
        parse_assertion(made(audience="https://elsewhere.example/token"), audience=AUDIENCE, now=NOW)


def test_certificate_of_another_key_is_found_out() -> None:
    with pytest.raises(SignatureMismatch):
        parse_assertion(made(key=SigningKey.generate(Algorithm.P256)), audience=AUDIENCE, now=NOW)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_any_changed_part_is_found_out(place: int) -> None:
    parts, others = made().split("."), made(device="dev-0018", jti="j2").split(".")
    parts[place] = others[place] if place else part({"alg": "ES256", "typ": "JWT", "x5c": []})
    with pytest.raises((SignatureMismatch, InvalidField)):
        parse_assertion(".".join(parts), audience=AUDIENCE, now=NOW)


@pytest.mark.parametrize("header", [
    {"alg": "none"}, {"alg": "HS256"}, {"alg": "ES256"}, {"alg": "ES256", "x5c": []},
    {"alg": "ES256", "x5c": ["rubbish"]}, {"alg": "ES256", "x5c": ["a"] * 5}, {},
])  # fmt: skip
def test_header_that_offers_a_way_around_is_refused(header: object) -> None:
    _, claims, signature = made().split(".")
    with pytest.raises(InvalidField):
        parse_assertion(f"{part(header)}.{claims}.{signature}", audience=AUDIENCE, now=NOW)


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "." * 2, "x" * 9000])
def test_text_that_is_no_assertion_is_refused(text: str) -> None:
    with pytest.raises(LimosaError):
        parse_assertion(text, audience=AUDIENCE, now=NOW)


@given(st.text(max_size=60))
def test_rubbish_never_raises_anything_else(text: str) -> None:
    with pytest.raises(LimosaError):
        parse_assertion(f"{text}.{text}.{text}", audience=AUDIENCE, now=NOW)

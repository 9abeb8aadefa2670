from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidField
from limosa_contracts.signing_keys import Algorithm, PublicKey, SigningKey
from tests.support.golden import GOLDEN

P256 = SigningKey.parse((GOLDEN / "p256.pem").read_bytes())
ED25519 = SigningKey.parse((GOLDEN / "ed25519.pem").read_bytes())


def public_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def private_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_golden_keys_keep_their_names_and_signatures() -> None:
    """Key ids stand in documents; ECDSA is deterministic, so equal input signs equally (trust 5.1)."""
    assert P256.public.keyid == "7415da995694b1664b4d0b08276f127d9fe12121c767614eab8412c97c0de2f4"
    assert ED25519.public.keyid == "d5e5feaecf15231f944fa18015d5989104bea951efd703520eb1287c03b15754"
    for key in (P256, ED25519):
        assert key.sign(b"message") == key.sign(b"message")


@pytest.mark.parametrize("algorithm", Algorithm)
def test_key_survives_its_file(algorithm: Algorithm) -> None:
    key = SigningKey.generate(algorithm)
    assert key.public.algorithm is algorithm
    again = SigningKey.parse(key.pem())
    assert again.public.keyid == key.public.keyid == PublicKey.parse(key.public.pem()).keyid


@given(st.binary(max_size=100), st.sampled_from([P256, ED25519]))
def test_signature_holds_for_its_message_and_key_only(message: bytes, key: SigningKey) -> None:
    signature = key.sign(message)
    assert key.public.verifies(signature, message)
    assert not key.public.verifies(signature, message + b"!")
    assert not (ED25519 if key is P256 else P256).public.verifies(signature, message)


@given(st.binary(max_size=100))
def test_rubbish_is_never_a_signature_and_never_an_exception(rubbish: bytes) -> None:
    assert not P256.public.verifies(rubbish, b"message")
    assert not ED25519.public.verifies(rubbish, b"message")


@given(st.binary(max_size=200))
def test_rubbish_is_never_a_key(rubbish: bytes) -> None:
    with pytest.raises(InvalidField):
        PublicKey.parse(rubbish)
    with pytest.raises(InvalidField):
        SigningKey.parse(rubbish)


def test_other_kinds_of_keys_are_refused() -> None:
    for key in (
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        x25519.X25519PrivateKey.generate(),
    ):
        with pytest.raises(InvalidField):
            PublicKey.parse(public_pem(key))
        with pytest.raises(InvalidField):
            SigningKey.parse(private_pem(key))


def test_private_key_is_in_no_text() -> None:
    secret = P256.pem().decode().splitlines()[1]
    assert secret not in repr(P256)
    assert secret not in f"{P256}"
    damaged = P256.pem().replace(b"-----END", b"-----FIN")
    with pytest.raises(InvalidField) as caught:
        SigningKey.parse(damaged)
    assert secret not in str(caught.value.as_json())


def test_encrypted_key_opens_with_its_password_only() -> None:
    pem = P256.raw.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"correct horse"),
    )
    assert SigningKey.parse(pem, password=b"correct horse").public.keyid == P256.public.keyid
    for password in (None, b"wrong horse"):
        with pytest.raises(InvalidField):
            SigningKey.parse(pem, password=password)

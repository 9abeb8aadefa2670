from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.base64_text import b64
from limosa_contracts.canonical import encode_canonical
from limosa_contracts.dsse import DsseSignature, Envelope, pae
from limosa_contracts.errors import InvalidField, SignatureMismatch, TooLarge
from limosa_contracts.signing_keys import Algorithm, SigningKey
from tests.support.golden import GOLDEN, changed, golden_bytes

KEY = SigningKey.parse((GOLDEN / "ed25519.pem").read_bytes())
OTHER = SigningKey.generate(Algorithm.P256)
KIND = "application/vnd.limosa.desired+json"


def test_golden_envelope_verifies_and_is_written_as_it_was() -> None:
    envelope = Envelope.parse(golden_bytes("dsse-1"), max_bytes=4096)
    assert envelope.verify(KEY.public, payload_type=KIND) == b'{"hello":"world"}'
    assert envelope.encode() == golden_bytes("dsse-1")
    assert Envelope.sign(envelope.payload, payload_type=KIND, key=KEY).encode() == golden_bytes("dsse-1")


def test_encoding_before_signing_is_that_of_the_specification() -> None:
    """The example of the DSSE protocol, section 2."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


@given(st.binary(max_size=200), st.sampled_from([KEY, OTHER]))
def test_any_payload_comes_back_under_its_key_only(payload: bytes, key: SigningKey) -> None:
    data = Envelope.sign(payload, payload_type=KIND, key=key).encode()
    envelope = Envelope.parse(data, max_bytes=4096)
    assert envelope.verify(key.public, payload_type=KIND) == payload
    with pytest.raises(SignatureMismatch):
        envelope.verify((OTHER if key is KEY else KEY).public, payload_type=KIND)


@given(st.binary(min_size=1, max_size=50), st.integers(0), st.integers(1, 255))
def test_any_changed_byte_of_the_payload_is_noticed(payload: bytes, place: int, flip: int) -> None:
    envelope = Envelope.sign(payload, payload_type=KIND, key=KEY)
    changed_payload = bytearray(payload)
    changed_payload[place % len(payload)] ^= flip
    with pytest.raises(SignatureMismatch):
        replace(envelope, payload=bytes(changed_payload)).verify(KEY.public, payload_type=KIND)


def test_document_of_one_type_is_not_taken_for_another() -> None:
    envelope = Envelope.sign(b"{}", payload_type="application/vnd.limosa.permit+json", key=KEY)
    with pytest.raises(SignatureMismatch):
        envelope.verify(KEY.public, payload_type=KIND)
    with pytest.raises(SignatureMismatch):
        replace(envelope, payload_type=KIND).verify(KEY.public, payload_type=KIND)


def test_one_good_signature_of_several_is_enough_and_none_is_not() -> None:
    envelope = Envelope.sign(b"{}", payload_type=KIND, key=KEY)
    bad = DsseSignature(keyid="", sig=b"rubbish")
    assert replace(envelope, signatures=(bad, *envelope.signatures)).verify(KEY.public, payload_type=KIND)
    for signatures in ((), (bad,)):
        with pytest.raises(SignatureMismatch):
            replace(envelope, signatures=signatures).verify(KEY.public, payload_type=KIND)


@pytest.mark.parametrize("place, value", [
    ("payload", "not base64!"), ("payload", 1), ("payloadType", ""), ("signatures", {}),
    ("signatures", [{}] * 9), ("signatures.0.sig", ""), ("signatures.0.sig", "a"), ("signatures.0", "x"),
])  # fmt: skip
def test_envelope_that_is_none_is_refused(place: str, value: object) -> None:
    with pytest.raises(InvalidField):
        Envelope.parse(encode_canonical(changed("dsse-1", place, value)), max_bytes=4096)


def test_envelope_over_its_limit_is_not_read() -> None:
    with pytest.raises(TooLarge):
        Envelope.parse(golden_bytes("dsse-1"), max_bytes=len(golden_bytes("dsse-1")) - 1)


@pytest.mark.parametrize("text", ["YQ", "Y Q=", "YQ==\n", "-_==", "é"])
def test_loose_base64_is_refused(text: str) -> None:
    with pytest.raises(InvalidField):
        b64(text, where="here")

"""Model signatures. That the stock tool agrees is tested with the compiler's signing (trust 5.2)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import InvalidField, SignatureMismatch
from limosa_contracts.oms import BUNDLE_MAX_BYTES, PAYLOAD_TYPE, make_bundle, root_digest, verify_bundle
from limosa_contracts.signing_keys import Algorithm, SigningKey
from tests.support import documents as some
from tests.support.golden import GOLDEN, GONE, changed_bytes, golden, golden_bytes

KEY = SigningKey.parse((GOLDEN / "p256.pem").read_bytes())
FILES = {"model.onnx": "a1" * 32, "serving.json": "b2" * 32}
folders = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True).filter(lambda name: name != "model.sig"),
    some.sha256s,
    min_size=1,
    max_size=5,
)


def statement() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(base64.b64decode(golden("model.sig-1")["dsseEnvelope"]["payload"]))
    return value


def resigned(value: object) -> bytes:
    """A bundle over another statement, rightly signed."""
    envelope = Envelope.sign(encode_canonical(value), payload_type=PAYLOAD_TYPE, key=KEY)  # type: ignore[arg-type]  # built by hand to be wrong
    return changed_bytes("model.sig-1", "dsseEnvelope", json.loads(envelope.encode()))


def test_golden_bundle_is_made_again_byte_for_byte() -> None:
    assert make_bundle(FILES, KEY) == golden_bytes("model.sig-1")
    verify_bundle(golden_bytes("model.sig-1"), FILES, KEY.public)


def test_statement_is_that_of_the_specification() -> None:
    value = statement()
    assert (value["_type"], value["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://model_signing/signature/v1.0",
    )
    assert value["subject"] == [{"name": "model", "digest": {"sha256": root_digest(FILES)}}]
    assert [resource["name"] for resource in value["predicate"]["resources"]] == sorted(FILES)


@given(folders)
def test_any_folder_verifies_and_in_any_order_of_its_files_signs_equally(files: dict[str, str]) -> None:
    bundle = make_bundle(files, KEY)
    verify_bundle(bundle, files, KEY.public)
    assert make_bundle(dict(reversed(files.items())), KEY) == bundle


@given(folders, folders)
def test_no_other_folder_verifies(files: dict[str, str], others: dict[str, str]) -> None:
    bundle = make_bundle(files, KEY)
    if files != others:
        with pytest.raises(SignatureMismatch):
            verify_bundle(bundle, others, KEY.public)


@pytest.mark.parametrize("files, said", [
    ({**FILES, "model.onnx": "c3" * 32}, "model.onnx"),
    ({**FILES, "extra": "c3" * 32}, "'extra' is not signed"),
    ({"model.onnx": "a1" * 32}, "'serving.json' is missing"), ({}, "missing"),
])  # fmt: skip
def test_file_that_differs_is_named(files: dict[str, str], said: str) -> None:
    with pytest.raises(SignatureMismatch, match=said):
        verify_bundle(make_bundle(FILES, KEY), files, KEY.public)


def test_other_key_is_refused_with_and_without_a_hint() -> None:
    other = SigningKey.generate(Algorithm.P256).public
    with pytest.raises(SignatureMismatch, match="another key"):
        verify_bundle(golden_bytes("model.sig-1"), FILES, other)
    unhinted = changed_bytes("model.sig-1", "verificationMaterial.publicKey", {})
    verify_bundle(unhinted, FILES, KEY.public)
    with pytest.raises(SignatureMismatch):
        verify_bundle(unhinted, FILES, other)


@pytest.mark.parametrize("place, value", [
    ("mediaType", "application/json"), ("mediaType", GONE), ("verificationMaterial", GONE),
    ("dsseEnvelope.payloadType", "text/plain"), ("dsseEnvelope.payload", "e30="),
    ("dsseEnvelope.signatures", []), ("dsseEnvelope", "x"),
])  # fmt: skip
def test_bundle_that_is_none_is_a_mismatch(place: str, value: object) -> None:
    with pytest.raises(SignatureMismatch):
        verify_bundle(changed_bytes("model.sig-1", place, value), FILES, KEY.public)


@pytest.mark.parametrize("path, value", [
    (("_type",), "x"), (("predicateType",), "https://model_signing/Digests/v0.1"),
    (("predicate", "serialization", "method"), "shards"),
    (("predicate", "serialization", "hash_type"), "blake2b"),
    (("predicate", "resources"), []), (("subject",), []), (("subject", 0, "digest", "sha256"), "00" * 32),
    (("predicate", "resources", 0, "algorithm"), "md5"),
    (("predicate", "resources", 1, "name"), "model.onnx"),
])  # fmt: skip
def test_statement_that_says_something_else_is_a_mismatch_though_it_is_signed(
    path: tuple[str | int, ...], value: object
) -> None:
    document: Any = statement()
    here = document
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    with pytest.raises(SignatureMismatch):
        verify_bundle(resigned(document), FILES, KEY.public)


@given(st.binary(max_size=300))
def test_rubbish_is_a_mismatch(rubbish: bytes) -> None:
    with pytest.raises(SignatureMismatch):
        verify_bundle(rubbish, FILES, KEY.public)


def test_bundle_over_its_limit_is_not_read() -> None:
    with pytest.raises(SignatureMismatch):
        verify_bundle(b" " * (BUNDLE_MAX_BYTES + 1), FILES, KEY.public)


@pytest.mark.parametrize("files", [
    {}, {"": "a1" * 32}, {"model.sig": "a1" * 32}, {"a": "A1" * 32}, {"a": ""},
    {f"f{i}": "a1" * 32 for i in range(4097)},
])  # fmt: skip
def test_folder_that_cannot_be_signed(files: dict[str, str]) -> None:
    with pytest.raises(InvalidField):
        make_bundle(files, KEY)


def test_key_of_another_kind_signs_no_model() -> None:
    with pytest.raises(InvalidField):
        make_bundle(FILES, SigningKey.generate(Algorithm.ED25519))

from __future__ import annotations

import hashlib
import json
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidField, LimosaError
from limosa_contracts.root_ca import ROOTS_MAX, RootsHeld, RootSpread, RootsTold, fingerprints
from tests.support.golden import changed, changed_bytes, golden, golden_bytes

digests = st.binary(min_size=32, max_size=32).map(bytes.hex)


def test_golden_documents_are_read_and_written_as_they_were() -> None:
    held = RootsHeld.parse(golden("roots-held-1"))
    assert held.encode() == golden_bytes("roots-held-1")
    told = RootsTold.parse(golden_bytes("roots-told-1"))
    assert told.as_json() == golden("roots-told-1")
    spread = RootSpread.parse(golden_bytes("root-spread-1"))
    assert (spread.missing, spread.devices) == (2, ("kiosk-3", "shop-17"))
    assert spread.encode() == golden_bytes("root-spread-1")
    new, old = fingerprints(told.ca_pem)
    assert (new, old) == (spread.root, held.has[0]), "one rotation, as its three documents tell it"


def test_field_of_a_later_version_changes_nothing() -> None:
    assert RootsHeld.parse(changed("roots-held-1", "x-later", 1)) == RootsHeld.parse(golden("roots-held-1"))
    for parse, name in ((RootsTold.parse, "roots-told-1"), (RootSpread.parse, "root-spread-1")):
        assert parse(changed_bytes(name, "x-later", 1)) == parse(golden_bytes(name))


def test_fingerprint_is_the_one_that_tls_libraries_and_openssl_show() -> None:
    pem = str(golden("roots-told-1")["ca"])
    first = pem[: pem.index("-----END") + len("-----END CERTIFICATE-----\n")]
    assert fingerprints(first) == (hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest(),)
    assert fingerprints(pem.replace("\n", "\r\n")) == fingerprints(pem)


@pytest.mark.parametrize(
    "pem", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_no_root(pem: str) -> None:
    with pytest.raises(InvalidField):
        fingerprints(pem)


def test_a_file_of_all_the_worlds_roots_is_refused() -> None:
    with pytest.raises(InvalidField, match="certificates"):
        fingerprints(str(golden("roots-told-1")["ca"]) * ROOTS_MAX)


@given(st.text(max_size=400))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        fingerprints(f"-----BEGIN CERTIFICATE-----{text}-----END CERTIFICATE-----")
    except LimosaError:
        return


@given(st.lists(digests, max_size=ROOTS_MAX))
def test_any_list_comes_back_as_it_went(has: list[str]) -> None:
    held = RootsHeld(has=tuple(has))
    assert RootsHeld.parse(json.loads(held.encode())) == held


@pytest.mark.parametrize(
    "name, place, value",
    [
        ("roots-told-1", "ca", 7),
        ("roots-told-1", "schema", "limosa.roots-told/2"),
        ("root-spread-1", "root", "abc"),
        ("root-spread-1", "missing", -1),
        ("root-spread-1", "devices", ["../x"]),
        ("root-spread-1", "at", "now"),
    ],
)
def test_field_that_is_wrong_is_named(name: str, place: str, value: object) -> None:
    parse = RootsTold.parse if name == "roots-told-1" else RootSpread.parse
    with pytest.raises(InvalidField, match=place):
        parse(changed_bytes(name, place, value))

"""Model signatures: OpenSSF Model Signing v1.0, elliptic-key method, as a Sigstore bundle (trust 5).

Names and digests in, bytes out: who reads the files has hashed them already. What the stock
`model_signing verify key` accepts, this accepts, and the other way round.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from limosa_contracts.canonical import encode_canonical, parse_json, parse_object
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import InvalidField, InvalidJson, SignatureMismatch, TooLarge
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import SHA256_HEX
from limosa_contracts.oci import SIGNATURE_FILE
from limosa_contracts.signing_keys import Algorithm, PublicKey, Signs

BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://model_signing/signature/v1.0"
SUBJECT_NAME: Final = "model"
"""Fixed: the stock tool writes the folder's name here, which would change the bytes from place to place."""
FILES_MAX: Final = 4096  # of one variant
BUNDLE_MAX_BYTES: Final = 1024 * 1024  # 4,096 files need about 900 kB
SERIALIZATION: Final[Mapping[str, JsonValue]] = {
    "method": "files",
    "hash_type": "sha256",
    "allow_symlinks": False,
    "ignore_paths": [SIGNATURE_FILE],
}


def make_bundle(files: Mapping[str, str], key: Signs) -> bytes:
    """`model.sig` over file names and their sha256 (64 hex digits); equal input gives equal bytes.

    Raises InvalidField for a key that is not P-256, a name or digest that cannot be signed, no files.
    """
    if key.public.algorithm is not Algorithm.P256:
        raise InvalidField("a model is signed with a P-256 key", where="key", why=key.public.algorithm.value)
    _check_files(files)
    envelope = Envelope.sign(encode_canonical(_statement(files)), payload_type=PAYLOAD_TYPE, key=key)
    # The stock tool leaves the key id empty: the bundle names the key in `hint`.
    unnamed = replace(envelope, signatures=tuple(replace(s, keyid="") for s in envelope.signatures))
    return encode_canonical(
        {
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": key_hint(key.public)}, "tlogEntries": []},
            "dsseEnvelope": parse_json(unnamed.encode(), what="envelope", max_bytes=BUNDLE_MAX_BYTES),
        }
    )


def verify_bundle(bundle: bytes, files: Mapping[str, str], key: PublicKey) -> None:
    """Nothing, if `key` signed exactly these files with these sha256. Raises SignatureMismatch.

    `files` leaves out `model.sig` itself; any other name, more or less, is a mismatch (trust 5.2).
    """
    try:
        signed = signed_files(bundle, key)
    except (InvalidJson, InvalidField, TooLarge) as error:
        raise SignatureMismatch(
            "this is not a model signature", where=SIGNATURE_FILE, why=str(error)[:300]
        ) from error
    for difference in _differences(signed, files):
        raise SignatureMismatch(
            "these are not the files that were signed", where=SIGNATURE_FILE, why=difference
        )


def signed_files(bundle: bytes, key: PublicKey) -> dict[str, str]:
    """File name -> sha256 as `key` signed them.

    Raises SignatureMismatch; InvalidJson, InvalidField, TooLarge where it is no such bundle.
    """
    fields = Fields(parse_object(bundle, what=SIGNATURE_FILE, max_bytes=BUNDLE_MAX_BYTES), where="bundle")
    fields.choice("mediaType", (BUNDLE,))
    material = fields.fields("verificationMaterial")
    public = Fields(material.raw("publicKey"), where="bundle.publicKey")
    hint = public.optional("hint", lambda n: public.text(n, max_chars=128, empty=True), "")
    if hint and hint != key_hint(key):
        raise SignatureMismatch(
            "a model is signed with another key",
            where=SIGNATURE_FILE,
            why=f"signed with {hint[:12]}…, expected {key_hint(key)[:12]}…",
        )
    envelope = Envelope.from_object(fields.object("dsseEnvelope"))
    payload = envelope.verify(key, payload_type=PAYLOAD_TYPE)
    return _resources(payload)


def key_hint(key: PublicKey) -> str:
    """How a bundle names its key: sha256 of the PEM, 64 hex digits."""
    return hashlib.sha256(key.pem()).hexdigest()


def root_digest(files: Mapping[str, str]) -> str:
    """sha256 over the digests in the order of the names: what the statement's subject carries."""
    return hashlib.sha256(b"".join(bytes.fromhex(files[name]) for name in sorted(files))).hexdigest()


def _statement(files: Mapping[str, str]) -> dict[str, JsonValue]:
    return {
        "_type": STATEMENT,
        "subject": [{"name": SUBJECT_NAME, "digest": {"sha256": root_digest(files)}}],
        "predicateType": PREDICATE,
        "predicate": {
            "serialization": dict(SERIALIZATION),
            "resources": [
                {"name": name, "algorithm": "sha256", "digest": files[name]} for name in sorted(files)
            ],
        },
    }


def _resources(payload: bytes) -> dict[str, str]:
    statement = Fields(parse_object(payload, what="statement", max_bytes=BUNDLE_MAX_BYTES), where="statement")
    statement.choice("_type", (STATEMENT,))
    statement.choice("predicateType", (PREDICATE,))
    predicate = statement.fields("predicate")
    serialization = predicate.fields("serialization")
    serialization.choice("method", ("files",))
    serialization.choice("hash_type", ("sha256",))
    files: dict[str, str] = {}
    for place, item in predicate.items("resources", max_items=FILES_MAX):
        resource = Fields(item, where=place)
        resource.choice("algorithm", ("sha256",))
        name = resource.text("name", max_chars=1024)
        if name in files:
            raise InvalidField("a file is signed twice", where=place, why=repr(name[:80]))
        files[name] = resource.text("digest", pattern=SHA256_HEX)
    subjects = [Fields(item, where=place) for place, item in statement.items("subject", max_items=1)]
    if not subjects or subjects[0].fields("digest").text("sha256") != root_digest(files):
        raise InvalidField("the subject's digest is not that of the files", where="statement.subject")
    return files


def _differences(signed: Mapping[str, str], files: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(signed.keys() | files.keys()):
        if name not in signed:
            yield f"{name[:120]!r} is not signed"
        elif name not in files:
            yield f"{name[:120]!r} is missing"
        elif signed[name] != files[name]:
            yield f"{name[:120]!r} has sha256 {files[name][:12]}…, signed is {signed[name][:12]}…"


def _check_files(files: Mapping[str, str]) -> None:
    if not files:
        raise InvalidField("there are no files to sign", where="files")
    if len(files) > FILES_MAX:
        raise InvalidField("too many files to sign", where="files", why=f"{len(files)}, at most {FILES_MAX}")
    for name, digest in files.items():
        if not name or name == SIGNATURE_FILE or len(name) > 1024:
            raise InvalidField("a file of this name is not signed", where="files", why=repr(name[:80]))
        if not SHA256_HEX.fullmatch(digest):
            raise InvalidField("a file has no sha256 in hex", where=f"files[{name[:80]!r}]")

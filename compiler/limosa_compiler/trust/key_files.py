"""Signing keys in PEM, from files and texts. Their bytes enter no message."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from limosa_compiler.trust import folders
from limosa_compiler.trust.errors import KeyUnusable
from limosa_contracts.errors import InvalidField
from limosa_contracts.signing_keys import Algorithm, SigningKey

KEY_VARIABLE: Final = "LIMOSA_TEAM_KEY"
PASSWORD_VARIABLE: Final = "LIMOSA_KEY_PASSWORD"  # noqa: S105  # a name, not a password
KEY_MAX_BYTES: Final = 16 * 1024


def load_key(path: Path, environment: Mapping[str, str]) -> SigningKey:
    """A P-256 key from a PEM file. Raises KeyUnusable, SystemRefused."""
    return parse_key(folders.read_file(path, max_bytes=KEY_MAX_BYTES), environment, where=str(path))


def parse_key(pem: bytes, environment: Mapping[str, str], *, where: str) -> SigningKey:
    """A P-256 key; LIMOSA_KEY_PASSWORD opens an encrypted one. Raises KeyUnusable."""
    password = environment.get(PASSWORD_VARIABLE) if b"ENCRYPTED" in pem else None
    try:
        key = SigningKey.parse(pem, password=password.encode() if password is not None else None)
    except InvalidField as error:
        encrypted = b"ENCRYPTED" in pem
        why = "it is encrypted, and the password does not open it" if encrypted else error.why
        raise KeyUnusable("the key cannot be read", where=where, why=why) from None
    if key.public.algorithm is not Algorithm.P256:
        raise KeyUnusable("this kind of key does not sign releases", where=where, why="P-256 is needed")
    return key

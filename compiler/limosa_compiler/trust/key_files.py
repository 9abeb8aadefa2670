"""Where a team's signing key comes from: a PEM file, or the environment. Its bytes enter no message."""

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


def load_team_key(path: Path | None, environment: Mapping[str, str]) -> SigningKey:
    """From `path`, else the PEM text in LIMOSA_TEAM_KEY. Raises KeyUnusable, SystemRefused."""
    if path is not None:
        return load_key(path, environment)
    text = environment.get(KEY_VARIABLE, "")
    if not text:
        raise KeyUnusable(
            "no signing key is given", where="--key", hint=f"--offline, --key or {KEY_VARIABLE}"
        )
    return _parse(text.encode(), environment, where=KEY_VARIABLE)


def load_key(path: Path, environment: Mapping[str, str]) -> SigningKey:
    """A P-256 key from a PEM file. Raises KeyUnusable, SystemRefused."""
    return _parse(folders.read_file(path, max_bytes=KEY_MAX_BYTES), environment, where=str(path))


def _parse(pem: bytes, environment: Mapping[str, str], *, where: str) -> SigningKey:
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

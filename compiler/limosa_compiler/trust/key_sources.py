"""Where a team's signing key is: a PEM file, the environment, a PKCS#11 device or a key service.

The last two by the URIs of securesystemslib: `hsm:2?label=TOKEN`, `awskms:…`, `gcpkms:…`,
`azurekms:…`, `hv:…`. Such a key never comes here: its holder signs, and its public half is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import Signer

from limosa_compiler.trust import folders, roles
from limosa_compiler.trust.errors import KeyHolderRefused, KeyUnusable
from limosa_compiler.trust.key_files import KEY_MAX_BYTES, KEY_VARIABLE, load_key, parse_key
from limosa_contracts.errors import InvalidField, LimosaError
from limosa_contracts.signing_keys import Algorithm, PublicKey, Signs

ENVIRONMENT: Final = "env:"
EXTRA_OF_SCHEME: Final[Mapping[str, str]] = {
    "hsm": "hsm",
    "awskms": "awskms",
    "azurekms": "azurekms",
    "gcpkms": "gcpkms",
    "hv": "vault",
}
"""Scheme -> the extra of securesystemslib that brings what it needs."""
PIN_VARIABLE: Final = "LIMOSA_KEY_PIN"


@dataclass(frozen=True, slots=True, repr=False)
class HeldKey:
    """A key in a device or a service. Every signature is checked before it is used."""

    uri: str
    public: PublicKey
    signer: Signer

    def __repr__(self) -> str:
        return f"HeldKey({self.uri!r})"

    @property
    def repeats(self) -> bool:
        return False

    def sign(self, message: bytes) -> bytes:
        """Raises KeyHolderRefused."""
        try:
            signature = bytes.fromhex(self.signer.sign(message).signature)
        except LimosaError:
            raise
        except Exception as error:  # each holder's library has errors of its own
            raise KeyHolderRefused(
                "the holder of the key does not sign", where=self.uri, why=_short(error)
            ) from error
        if not self.public.verifies(signature, message):
            raise KeyHolderRefused(
                "what the holder of the key signed does not verify",
                where=self.uri,
                why="its key is another one than the public key that was given",
            )
        return signature


def is_uri(source: str) -> bool:
    """
    >>> is_uri("hsm:2?label=team"), is_uri("team.pem"), is_uri("keys/hsm:2")
    (True, False, False)
    """
    return source.partition(":")[0] in EXTRA_OF_SCHEME and ":" in source


def open_key(source: str | None, public_file: Path | None, environment: Mapping[str, str]) -> Signs:
    """The key that `source` names: a path, `env:NAME`, or a URI; None is `env:LIMOSA_TEAM_KEY`.

    `public_file`: PEM of the public half, needed with a URI and checked with anything else.
    Raises KeyUnusable, SystemRefused.
    """
    expected = read_public(public_file) if public_file is not None else None
    if source is not None and is_uri(source):
        return held_key(source, expected, environment)
    if source is None or source.startswith(ENVIRONMENT):
        key: Signs = _from_environment((source or "").removeprefix(ENVIRONMENT) or KEY_VARIABLE, environment)
    else:
        key = load_key(Path(source), environment)
    if expected is not None and expected.keyid != key.public.keyid:
        raise KeyUnusable(
            "the key and the public key do not belong together",
            where=str(public_file),
            why=f"{key.public.keyid[:12]}… and {expected.keyid[:12]}…",
        )
    return key


def held_key(uri: str, public: PublicKey | None, environment: Mapping[str, str]) -> HeldKey:
    """A key by URI. Raises KeyUnusable where its library is missing or the URI does not parse."""
    scheme = uri.partition(":")[0]
    if public is None:
        raise KeyUnusable(
            "the public half of the key is needed",
            where=uri,
            why="its holder gives signatures, not the key",
            hint="--public-key FILE, in PEM",
        )
    try:
        signer = Signer.from_priv_key_uri(uri, roles.tuf_key(public), lambda _: _pin(environment))
    except UnsupportedLibraryError as error:
        raise KeyUnusable(
            f"what {scheme}: keys need is not installed",
            where=uri,
            why=_short(error),
            hint=f'pip install "securesystemslib[{EXTRA_OF_SCHEME[scheme]}]"',
        ) from error
    except Exception as error:  # each holder's library has errors of its own
        raise KeyUnusable("the key's URI cannot be used", where=uri, why=_short(error)) from error
    return HeldKey(uri, public, signer)


def read_public(path: Path) -> PublicKey:
    """A P-256 public key in PEM. Raises KeyUnusable, SystemRefused."""
    try:
        key = PublicKey.parse(folders.read_file(path, max_bytes=KEY_MAX_BYTES))
    except InvalidField as error:
        raise KeyUnusable("the public key cannot be read", where=str(path), why=error.why) from error
    if key.algorithm is not Algorithm.P256:
        raise KeyUnusable("this kind of key does not sign releases", where=str(path), why="P-256 is needed")
    return key


def _from_environment(name: str, environment: Mapping[str, str]) -> Signs:
    text = environment.get(name, "")
    if not text:
        raise KeyUnusable(
            "no signing key is given", where=name, hint=f"--offline, --key, or the PEM text in {KEY_VARIABLE}"
        )
    return parse_key(text.encode(), environment, where=name)


def _pin(environment: Mapping[str, str]) -> str:
    if PIN_VARIABLE not in environment:
        raise KeyUnusable("the PIN of the key's device is needed", where=PIN_VARIABLE)
    return environment[PIN_VARIABLE]


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]

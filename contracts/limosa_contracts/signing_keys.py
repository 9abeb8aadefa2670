"""Ed25519 and P-256 keys as values: PEM in, PEM out, sign, verify. No files (trust 1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from limosa_contracts.errors import InvalidField

PrivateKeyTypes: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
PublicKeyTypes: TypeAlias = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey


class Algorithm(Enum):
    ED25519 = "ed25519"
    P256 = "p256"
    """ECDSA over secp256r1 with SHA-256, deterministic (RFC 6979), DER signatures."""


class _Es256(ec.ECDSA):
    """As `ec.ECDSA(SHA256(), deterministic_signing=True)`, whose constructor loads RSA and all ciphers to
    ask whether OpenSSL can do it: 0.7 MB that the supervisor would keep (agent 1)."""

    def __init__(self) -> None:
        """Not the base's: see above."""

    @property
    def algorithm(self) -> hashes.HashAlgorithm:
        return hashes.SHA256()

    @property
    def deterministic_signing(self) -> bool:
        return True


def _es256() -> ec.ECDSA:
    """Raises UnsupportedAlgorithm where this OpenSSL cannot sign so."""
    if openssl.CRYPTOGRAPHY_OPENSSL_320_OR_GREATER and not openssl.is_fips_enabled():
        return _Es256()
    return ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key of one of the two algorithms; anything else cannot be made."""

    raw: PublicKeyTypes

    @property
    def algorithm(self) -> Algorithm:
        return Algorithm.ED25519 if isinstance(self.raw, ed25519.Ed25519PublicKey) else Algorithm.P256

    @property
    def keyid(self) -> str:
        """sha256 of the SubjectPublicKeyInfo (DER), 64 hex digits."""
        der = self.raw.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hashlib.sha256(der).hexdigest()

    def pem(self) -> bytes:
        return self.raw.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def verifies(self, signature: bytes, message: bytes) -> bool:
        try:
            if isinstance(self.raw, ed25519.Ed25519PublicKey):
                self.raw.verify(signature, message)
            else:
                self.raw.verify(signature, message, _Es256())
        except InvalidSignature:
            return False
        return True

    @classmethod
    def parse(cls, pem: bytes) -> PublicKey:
        """From PEM. Raises InvalidField, also for RSA, weak curves and rubbish."""
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidField("not a public key in PEM", where="public key", why=str(error)[:200]) from error
        return cls.of(key)

    @classmethod
    def of(cls, key: object) -> PublicKey:
        if isinstance(key, ed25519.Ed25519PublicKey):
            return cls(key)
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
            return cls(key)
        raise InvalidField(
            "this kind of key is not used here", where="public key", why="Ed25519 or P-256 is needed"
        )


class Signs(Protocol):
    """Whatever signs with one key: a key held here, or one that a device or a service holds."""

    @property
    def public(self) -> PublicKey: ...

    @property
    def repeats(self) -> bool:
        """Whether the same message always gets the same signature."""
        ...

    def sign(self, message: bytes) -> bytes:
        """As `PublicKey.verifies` takes it."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """A private key. Its repr shows the key id only."""

    raw: PrivateKeyTypes

    def __repr__(self) -> str:
        return f"SigningKey({self.public.keyid[:12]}…)"

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.raw.public_key())

    @property
    def repeats(self) -> bool:
        return True

    def sign(self, message: bytes) -> bytes:
        if isinstance(self.raw, ed25519.Ed25519PrivateKey):
            return self.raw.sign(message)
        return self.raw.sign(message, _es256())

    def pem(self) -> bytes:
        """PKCS#8, not encrypted: the caller writes it with mode 0600."""
        return self.raw.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @classmethod
    def generate(cls, algorithm: Algorithm) -> SigningKey:
        if algorithm is Algorithm.ED25519:
            return cls(ed25519.Ed25519PrivateKey.generate())
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def parse(cls, pem: bytes, *, password: bytes | None = None) -> SigningKey:
        """From PEM. Raises InvalidField; the key's bytes never enter the message."""
        try:
            key = serialization.load_pem_private_key(pem, password)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidField(
                "not a private key in PEM", where="private key", why=type(error).__name__
            ) from error
        if isinstance(key, (ed25519.Ed25519PrivateKey, ec.EllipticCurvePrivateKey)):
            PublicKey.of(key.public_key())
            return cls(key)
        raise InvalidField(
            "this kind of key is not used here", where="private key", why="Ed25519 or P-256 is needed"
        )

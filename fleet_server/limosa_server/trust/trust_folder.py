"""Reads what `limosa keys init` made for the server: `<data>/trust/` (trust 1.1)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from limosa_contracts.signing_keys import SigningKey
from limosa_server.errors import TrustFolderIncomplete
from limosa_server.files import write_private
from limosa_server.trust.pki import DeviceAuthority

FORMER: Final = "former-ca"


@dataclass(frozen=True, slots=True)
class TrustFolder:
    """What is in it may be replaced while the server runs: nothing is believed longer than its file."""

    path: Path
    _keys: dict[str, tuple[tuple[int, int, int], SigningKey]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def key(self, name: str) -> SigningKey:
        """`snapshot`, `timestamp`, `director`, `audit` or `device-ca`. Raises TrustFolderIncomplete.

        Parsed once per file: the director's is asked for with each document.
        """
        file = f"keys/{name}.pem"
        mark = self._mark(file)
        kept = self._keys.get(name)
        if kept is None or kept[0] != mark:
            kept = (mark, SigningKey.parse(self._read(file)))
            self._keys[name] = kept
        return kept[1]

    def _mark(self, name: str) -> tuple[int, int, int]:
        """Changes when the file is replaced."""
        try:
            found = (self.path / name).stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_ino, found.st_mtime_ns, found.st_size)

    def authority(self) -> DeviceAuthority:
        return DeviceAuthority.parse(
            key_pem=self._read("keys/device-ca.pem"),
            certificate_pem=self._read("device-ca.crt"),
            root_pem=self._read("ca.crt"),
            former=self._former(),
        )

    def _former(self) -> list[tuple[bytes, bytes | None]]:
        """(certificate, key if it is still there) of device CAs that were replaced."""
        found: list[tuple[bytes, bytes | None]] = []
        for file in sorted((self.path / FORMER).glob("*.crt")):
            key = file.with_suffix(".pem")
            found.append((file.read_bytes(), key.read_bytes() if key.exists() else None))
        return found

    def epoch(self) -> int:
        """Outside the database, so that a restored one does not bring back an old epoch (trust 4.3)."""
        text = self._read("epoch").decode().strip()
        if not text.isascii() or not text.isdigit():
            raise TrustFolderIncomplete("the epoch is not a number", where=str(self.path / "epoch"))
        return int(text)

    def access_token_key(self) -> bytes:
        """The key of devices' access tokens; made when it is first needed. Losing it costs nothing."""
        path = self.path / "keys" / "access-token.key"
        if not path.exists():
            write_private(path, secrets.token_bytes(32))
        return path.read_bytes()

    def root(self) -> str:
        """The newest TUF root, which a device is given at enrolment."""
        return self._read(f"tuf/{self.root_version()}.root.json").decode()

    def root_version(self) -> int:
        """Raises TrustFolderIncomplete."""
        names = (path.name for path in self.tuf.glob("*.root.json"))
        versions = sorted(int(head) for head in (name.split(".")[0] for name in names) if head.isdigit())
        if not versions:
            raise TrustFolderIncomplete("there is no TUF root", where=str(self.tuf))
        return versions[-1]

    @property
    def tuf(self) -> Path:
        return self.path / "tuf"

    def tls_files(self) -> tuple[Path, Path]:
        """(certificate chain, key) of the server."""
        files = (self.path / "server.crt", self.path / "server.pem")
        for path in files:
            if not path.is_file():
                raise TrustFolderIncomplete(f"{path.name} is missing", where=str(path))
        return files

    def _read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise TrustFolderIncomplete(
                f"{name} cannot be read", where=str(self.path / name), why=error.strerror or ""
            ) from error

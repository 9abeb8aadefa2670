"""A team's offline folder: its role and its bins, the source of truth for both (trust 2.3).

Everything read is checked against the team's key; everything written is durable before it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from securesystemslib.exceptions import UnverifiedSignatureError
from tuf.api.metadata import Metadata, Targets

from limosa_compiler.trust import folders, roles
from limosa_compiler.trust.errors import DamagedMetadata, ExpiredMetadata, WrongTeam
from limosa_contracts.limits import LIMITS
from limosa_contracts.signing_keys import PublicKey, Signs

BIN_MARK = "-bins-"
FORMER_KEYS = "former.pub"
"""Public keys that the team had before, PEM after PEM: others may still have signed with one."""


@dataclass(slots=True, kw_only=True)
class TeamFolder:
    """Signed metadata by role name, as it stands on disk."""

    path: Path
    team: str
    key: Signs = field(repr=False)
    signed: dict[str, Metadata[Targets]]
    files: dict[str, bytes]
    former: tuple[PublicKey, ...] = ()

    @property
    def role(self) -> Targets:
        return self.signed[self.team].signed

    @property
    def bins(self) -> Mapping[str, Metadata[Targets]]:
        return {name: metadata for name, metadata in self.signed.items() if name != self.team}

    def bin_for(self, target: str) -> str:
        """The role that lists `target`."""
        return roles.bins_of(self.role, where=self.team).get_role_for_target(target)

    def check(self, role: str, data: bytes, *, where: str) -> Metadata[Targets]:
        """`data` as that role's metadata, signed by the team's key. Raises DamagedMetadata."""
        metadata = roles.parse_role(data, where=where)
        if role == self.team:
            check_own_signature(metadata, self.key, where=where)
        else:
            roles.check_signature(self.role, role, metadata, where=where)
        return metadata

    def check_theirs(self, role: str, data: bytes, *, where: str) -> Metadata[Targets]:
        """Like `check`, of what the server has: that may be signed with a key that was replaced since.
        Its releases are listed again, signed with the present key. Raises DamagedMetadata."""
        try:
            return self.check(role, data, where=where)
        except DamagedMetadata:
            metadata = roles.parse_role(data, where=where)
            if any(_is_signed(metadata, key) for key in self.former):
                return metadata
            raise

    def is_ours(self, metadata: Metadata[Targets]) -> bool:
        """Whether the team's present key signed it."""
        return _is_signed(metadata, self.key.public)

    def check_not_expired(self, now: datetime) -> None:
        """Raises ExpiredMetadata: devices believe nothing under an expired role (trust 2.2)."""
        if self.role.is_expired(now):
            raise ExpiredMetadata(
                f"the role of team {self.team!r} has expired",
                where=str(self.path / f"{self.team}.json"),
                why=f"on {self.role.expires:%Y-%m-%d %H:%M} UTC",
            )

    def put(self, role: str, data: bytes) -> None:
        """Takes `data` over, on disk first. Raises DamagedMetadata, SystemRefused."""
        metadata = self.check(role, data, where=f"{role}.json")
        folders.write_durably(self.path / f"{role}.json", data)
        self.signed[role] = metadata
        self.files[role] = data


def open_folder(path: Path, *, team: str, key: Signs) -> TeamFolder:
    """Reads and checks all of it. Raises WrongTeam, DamagedMetadata, SystemRefused."""
    where = path / f"{team}.json"
    if path.is_dir() and not where.exists():
        raise WrongTeam(
            f"this is not the folder of team {team!r}", where=str(path), why=f"it holds {_held_by(path)}"
        )
    data = folders.read_file(where, max_bytes=LIMITS.tuf_metadata_max_bytes)
    role = roles.parse_role(data, where=str(where))
    bins = roles.bins_of(role.signed, where=str(where))
    if bins.name_prefix != f"{team}-bins":
        raise DamagedMetadata("a team's role names other bins", where=str(where), why=bins.name_prefix)
    if roles.tuf_key(key.public).keyid not in bins.keyids:
        raise WrongTeam(
            f"the key is not that of team {team!r}", where=str(where), why=f"key {key.public.keyid[:12]}…"
        )
    check_own_signature(role, key, where=str(where))
    folder = TeamFolder(
        path=path,
        team=team,
        key=key,
        signed={team: role},
        files={team: data},
        former=_former(path / FORMER_KEYS),
    )
    for name in bins.get_roles():
        file = path / f"{name}.json"
        if not file.exists():
            raise DamagedMetadata("a file of a team's metadata is missing", where=str(file))
        folder.files[name] = folders.read_file(file, max_bytes=LIMITS.tuf_metadata_max_bytes)
        folder.signed[name] = folder.check(name, folder.files[name], where=str(file))
    return folder


def check_own_signature(metadata: Metadata[Targets], key: Signs, *, where: str) -> None:
    """That the team's own role is signed with the team's key; devices check it from the top role down."""
    if not _is_signed(metadata, key.public):
        raise DamagedMetadata("the team's role is not signed with the team's key", where=where)


def _is_signed(metadata: Metadata[Targets], key: PublicKey) -> bool:
    tuf_key = roles.tuf_key(key)
    try:
        tuf_key.verify_signature(metadata.signatures[tuf_key.keyid], metadata.signed_bytes)
    except (KeyError, UnverifiedSignatureError):
        return False
    return True


def _former(file: Path) -> tuple[PublicKey, ...]:
    if not file.exists():
        return ()
    end = b"-----END PUBLIC KEY-----"
    text = folders.read_file(file, max_bytes=LIMITS.tuf_metadata_max_bytes)
    return tuple(PublicKey.parse(part + end) for part in text.split(end) if part.strip())


def _held_by(path: Path) -> str:
    teams = sorted(file.stem for file in path.glob("*.json") if BIN_MARK not in file.stem)
    return ", ".join(f"the metadata of {team!r}" for team in teams[:5]) or "no metadata"

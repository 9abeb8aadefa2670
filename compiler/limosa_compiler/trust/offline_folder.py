"""The whole offline folder of a fleet: who its teams are, how one is added or signed anew (trust 1.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from tuf.api.metadata import Targets

from limosa_compiler.trust import ceremony, folders, releases, roles
from limosa_compiler.trust.errors import DamagedMetadata, KeysExist, KeyUnusable
from limosa_compiler.trust.key_files import load_key
from limosa_compiler.trust.key_sources import HeldKey, held_key, read_public
from limosa_compiler.trust.team_folder import TeamFolder, open_folder
from limosa_contracts.limits import LIMITS
from limosa_contracts.signing_keys import PublicKey, Signs


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamSummary:
    team: str
    keyid: str  # as a variant's signature and the evidence name it
    tuf_keyid: str  # the same key as the signed metadata, `limosa server keys` and a rotation name it
    expires: datetime
    releases: tuple[str, ...]  # target paths


URI_MAX_BYTES: Final = 4096


def metadata_folder(offline: Path, team: str) -> Path:
    return offline / "teams" / roles.check_team(team) / "metadata"


def team_key(offline: Path, team: str, environment: Mapping[str, str]) -> Signs:
    """The key in the folder, or the one that the folder names by its URI. Raises KeyUnusable."""
    folder = offline / "teams" / roles.check_team(team)
    uri = folder / "team.uri"
    if not uri.exists():
        return load_key(folder / "team.pem", environment)
    text = folders.read_file(uri, max_bytes=URI_MAX_BYTES).decode(errors="replace").strip()
    return held_key(text, read_public(folder / "team.pub"), environment)


def open_team(offline: Path, team: str, environment: Mapping[str, str]) -> TeamFolder:
    metadata = metadata_folder(offline, team)
    return open_folder(metadata, team=team, key=team_key(offline, team, environment))


@dataclass(frozen=True, slots=True)
class PublicHalf:
    """A key of which only the public half is here, or needed."""

    public: PublicKey

    @property
    def repeats(self) -> bool:
        return False

    def sign(self, message: bytes) -> bytes:
        raise KeyUnusable(f"of key {self.public.keyid[:12]}… only the public half is here")


def open_team_publicly(offline: Path, team: str) -> TeamFolder:
    """To read and to check, also where the team's key is lost; its `key` signs nothing."""
    metadata = metadata_folder(offline, team)
    return open_folder(metadata, team=team, key=PublicHalf(read_public(metadata.parent / "team.pub")))


def read_top(offline: Path) -> Targets:
    """The top role, as it stands in the folder. Raises DamagedMetadata, SystemRefused."""
    path = offline / "metadata" / "targets.json"
    data = folders.read_file(path, max_bytes=LIMITS.tuf_metadata_max_bytes)
    return roles.parse_role(data, where=str(path)).signed


def summaries(offline: Path) -> tuple[TeamSummary, ...]:
    """Every team of the folder, from what can be read without a private key."""
    read_top(offline)
    return tuple(_summary(path) for path in sorted((offline / "teams").iterdir()) if path.is_dir())


def add_team(
    offline: Path,
    server: Path,
    team: str,
    *,
    now: datetime,
    environment: Mapping[str, str],
    held: HeldKey | None = None,
) -> TeamSummary:
    """Makes a team's keys, and signs a top role that lends it its paths, for both folders.

    `held`: the key that a device or a service holds, instead of a new one.

    The offline top role is written last: where this was interrupted, the same command finishes it.
    Raises KeysExist, DamagedMetadata, SystemRefused.
    """
    folder = offline / "teams" / roles.check_team(team)
    top, targets_key = read_top(offline), load_key(offline / "targets.pem", environment)
    if top.delegations is not None and team in (top.delegations.roles or {}):
        raise KeysExist(f"there is a team {team!r} already", where=str(folder))
    if folders.is_free(folder):
        folders.create_folder(folder, ceremony.make_team(team, now, held).folder())
    made = open_team(offline, team, environment)
    data = ceremony.extended(top, targets_key, team, made.key.public, now)
    for role, metadata in made.signed.items():
        folders.write_durably(server / "tuf" / f"{metadata.signed.version}.{role}.json", made.files[role])
    folders.write_durably(server / "tuf" / f"{data.signed.version}.targets.json", data.to_bytes())
    folders.write_durably(offline / "metadata" / "targets.json", data.to_bytes())
    return _summary(folder)


def refresh_team(folder: TeamFolder, now: datetime) -> tuple[str, ...]:
    """Signs the team's role and bins for another 90 days; `publish --sync` sends them. Gives the roles."""
    for role, metadata in list(folder.signed.items()):
        folder.put(role, releases.resigned(releases.copy_of(metadata), folder.key, now))
    return tuple(folder.signed)


def _summary(folder: Path) -> TeamSummary:
    team, metadata = folder.name, folder / "metadata"
    file = metadata / f"{team}.json"
    role = roles.parse_role(folders.read_file(file, max_bytes=LIMITS.tuf_metadata_max_bytes), where=str(file))
    public = PublicKey.parse(folders.read_file(folder / "team.pub", max_bytes=4096))
    bins = roles.bins_of(role.signed, where=str(file))
    tuf_keyid = roles.tuf_key(public).keyid
    if tuf_keyid not in bins.keyids:
        raise DamagedMetadata("team.pub is not the key of the team's role", where=str(folder / "team.pub"))
    listed: list[str] = []
    for name in bins.get_roles():
        path = metadata / f"{name}.json"
        data = folders.read_file(path, max_bytes=LIMITS.tuf_metadata_max_bytes)
        listed.extend(roles.parse_role(data, where=str(path)).signed.targets)
    return TeamSummary(
        team=team,
        keyid=public.keyid,
        tuf_keyid=tuf_keyid,
        expires=role.signed.expires,
        releases=tuple(sorted(listed)),
    )

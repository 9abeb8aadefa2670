"""Whether a team's metadata may be taken: the delegation chain, checked without any I/O (trust 2).

A server that is taken over can refuse, but not forge: it holds none of these keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from securesystemslib.exceptions import StorageError
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets
from tuf.api.serialization import DeserializationError

from limosa_contracts.errors import InvalidField
from limosa_contracts.names import ModelName, ReleaseName
from limosa_contracts.release import ReleaseCustom
from limosa_server.errors import MetadataRefused

TARGET_FILE: Final = "index.json"
BINS_SUFFIX: Final = "-bins"
VERSION_MAX: Final = 10**12 - 1
"""Versions are Unix seconds (trust 2.3). The snapshot lists them for all teams, so one that nobody can
be served would stop every device's refresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRelease:
    """One target of a team's bins."""

    name: ReleaseName
    index_sha256: str
    index_size: int
    custom: ReleaseCustom


def parse_targets(data: bytes, *, role: str) -> Metadata[Targets]:
    """Raises MetadataRefused."""
    try:
        metadata = Metadata[Targets].from_bytes(data)
    except (DeserializationError, StorageError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise MetadataRefused("not TUF metadata", where=role, why=str(error)[:200]) from error
    if not isinstance(metadata.signed, Targets):
        raise MetadataRefused("not the metadata of a targets role", where=role)
    return metadata


def check_top(root: Root, data: bytes) -> Metadata[Targets]:
    """The top targets role, as the root's keys signed it. Raises MetadataRefused."""
    metadata = parse_targets(data, role="targets")
    _verify(root, "targets", metadata)
    return metadata


def check_team(
    top: Targets, team: str, current: Mapping[str, bytes], offered: Mapping[str, bytes], *, now: float
) -> dict[str, Metadata[Targets]]:
    """The offered roles of a team, each verified: signed by who it was delegated to, newer, not expired.

    `current` and `offered` map role names to bytes. Raises MetadataRefused.
    """
    if top.delegations is None or team not in (top.delegations.roles or {}):
        raise MetadataRefused(
            f"this server knows no team {team!r}",
            where="targets",
            hint="limosa keys add-team writes it into DATA/trust; then start the server anew, which reads it",
        )
    checked: dict[str, Metadata[Targets]] = {}
    own = offered.get(team) or current.get(team)
    if own is None:
        raise MetadataRefused("the team's own role is missing", where=team)
    team_role = parse_targets(own, role=team)
    _verify(top, team, team_role)
    _own_bins(team_role.signed, team)
    for role in sorted(offered, key=lambda name: name != team):
        if role == team:
            metadata = team_role
        else:
            _is_bin_of(team_role.signed, team, role)
            metadata = parse_targets(offered[role], role=role)
            _verify(team_role.signed, role, metadata)
        _newer(role, metadata.signed, current.get(role))
        if metadata.signed.is_expired(datetime.fromtimestamp(now, UTC)):
            raise MetadataRefused("the metadata has expired", where=role, why=str(metadata.signed.expires))
        checked[role] = metadata
    return checked


def releases_of(team: str, team_role: Targets, role: str, targets: Targets) -> list[SignedRelease]:
    """The releases that one bin lists. Raises MetadataRefused for a path that is not its own."""
    found: list[SignedRelease] = []
    if role == team and targets.targets:
        raise MetadataRefused("releases belong into the bins", where=role)
    for path, target in targets.targets.items():
        if _bin_of(team_role, path) != role:
            raise MetadataRefused(
                "a release is listed in a bin that is not its own", where=role, why=path[:200]
            )
        try:
            found.append(
                SignedRelease(
                    name=_release_name(path, team=team),
                    index_sha256=target.hashes["sha256"],
                    index_size=target.length,
                    custom=ReleaseCustom.parse(target.custom or {}),
                )
            )
        except (InvalidField, KeyError) as error:
            raise MetadataRefused("a target is not a release", where=role, why=str(error)[:300]) from error
    return found


def _release_name(path: str, *, team: str) -> ReleaseName:
    parts = path.split("/")
    if len(parts) != 4 or parts[0] != team or parts[3] != TARGET_FILE:
        raise InvalidField(f"{path[:200]!r} is not {team}/MODEL/VERSION/{TARGET_FILE}", where="target")
    return ReleaseName.parse(f"{ModelName.parse(f'{parts[0]}/{parts[1]}')}@{parts[2]}")


def _own_bins(team_role: Targets, team: str) -> None:
    """A team signs the names of its own bins: those of another team would take that team's place in
    the snapshot, and stop its devices (trust 2.2)."""
    bins = team_role.delegations.succinct_roles if team_role.delegations else None
    if bins is not None and bins.name_prefix != f"{team}{BINS_SUFFIX}":
        raise MetadataRefused(
            "a team's bins have the team's name",
            where=team,
            why=f"{bins.name_prefix[:120]!r}, not {team}{BINS_SUFFIX}",
        )


def _is_bin_of(team_role: Targets, team: str, role: str) -> None:
    bins = team_role.delegations.succinct_roles if team_role.delegations else None
    if bins is None or not bins.is_delegated_role(role):
        raise MetadataRefused(f"{role[:120]!r} is not a role of team {team}", where=team)


def _bin_of(team_role: Targets, path: str) -> str:
    bins = team_role.delegations.succinct_roles if team_role.delegations else None
    return bins.get_role_for_target(path) if bins else ""


def _newer(role: str, offered: Targets, current: bytes | None) -> None:
    if offered.version > VERSION_MAX:
        raise MetadataRefused("the version is out of range", where=role, why=f"at most {VERSION_MAX}")
    if current is None:
        return
    version = parse_targets(current, role=role).signed.version
    if offered.version <= version:
        raise MetadataRefused(
            "the version does not grow", where=role, why=f"{offered.version} after {version}"
        )  # trust 2.3


def _verify(delegator: Root | Targets, role: str, metadata: Metadata[Targets]) -> None:
    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as error:
        raise MetadataRefused("not signed by who may", where=role, why=str(error)[:300]) from error

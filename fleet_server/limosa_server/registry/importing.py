"""Takes releases over from another server: the bytes and signatures of their team, none of that server's.

A team's bin lists all that it ever signed, also what is only meant for the other server. So the roles are
kept whole, as they were signed, and only the releases that were asked for are registered; what is listed
but was never brought here stays unknown, until somebody brings it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlmodel import select

from limosa_contracts.names import ReleaseName
from limosa_server.access import audit
from limosa_server.errors import CopyDiffers, MetadataRefused
from limosa_server.registry import publishing, release_rows
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.releases import Release, TufRole
from limosa_server.trust.team_metadata import SignedRelease, parse_targets, releases_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A release and the digest that the other server has under its name."""

    name: ReleaseName
    index_sha256: str


def take(
    state: ServerState, team: str, offered: Mapping[str, bytes], wanted: Wanted, *, actor: str, source: str
) -> Release:
    """Its blobs were pushed before. Idempotent. `source` is what the record says of where it came from.

    Raises MetadataRefused, BlobUnknown, Conflict, CopyDiffers where the digests differ.
    """
    now = state.clock()
    with state.store.transaction() as tx:
        newer = _newer_only(tx, team, offered)
        if newer:
            _, checked = state.tuf.check(tx, team, newer, now=now)
            for role, metadata in checked.items():
                state.tuf.keep(tx, team=team, role=role, metadata=metadata, body=newer[role])
            tx.flush()
        signed = _listed(tx, team, wanted)
        fresh = publishing.register(tx, state, signed, actor=actor, now=now)
        row = fresh or release_rows.find(tx, wanted.name)
        if fresh is not None:
            release_rows.note(tx, row, "imported", at=now, by=actor, reason=f"from {source}")
        audit.record(
            tx, at=now, actor=actor, action="release.import", object=f"release {wanted.name}",
            after={"from": source, "index_sha256": wanted.index_sha256, "new": fresh is not None},
        )  # fmt: skip
        tx.announce("releases")
    state.tuf.republish(now)
    return row


def _newer_only(tx: Transaction, team: str, offered: Mapping[str, bytes]) -> dict[str, bytes]:
    """Of the offered roles those that are newer than ours: what is ours may be ahead."""
    newer: dict[str, bytes] = {}
    for role, body in offered.items():
        row = tx.get(TufRole, role)
        if row is not None and row.team != team:
            raise MetadataRefused(f"{role[:120]!r} is not a role of team {team}", where=team)
        if row is None or parse_targets(body, role=role).signed.version > row.version:
            newer[role] = body
    return newer


def _listed(tx: Transaction, team: str, wanted: Wanted) -> SignedRelease:
    """The release as our roles of the team list it now. Raises MetadataRefused, CopyDiffers."""
    rows = {row.role: row.body.encode() for row in tx.exec(select(TufRole).where(TufRole.team == team))}
    if team not in rows:
        raise MetadataRefused(
            f"this server knows no team {team!r}",
            where="targets",
            hint="the team's key must be one of this server too: limosa keys add-team",
        )
    team_role = parse_targets(rows[team], role=team).signed
    for role, body in sorted(rows.items()):
        for one in releases_of(team, team_role, role, parse_targets(body, role=role).signed):
            if one.name == wanted.name:
                if one.index_sha256 != wanted.index_sha256:
                    raise CopyDiffers(
                        f"{wanted.name} has other bytes here",
                        where=str(wanted.name),
                        why=f"sha256:{one.index_sha256}, there sha256:{wanted.index_sha256}",
                    )
                return one
    raise MetadataRefused("the team's metadata does not list the release", where=str(wanted.name))

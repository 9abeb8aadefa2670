"""A new key for a team, without a release to be made again (trust 1.2).

For a while the top role names both keys: models that were signed with the old one install, new ones are
signed with the new. `retire` ends that while. Of a key that was stolen it is ended at once, and what it
signed is published again under new versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime

from tuf.api.metadata import Metadata, Targets

from limosa_compiler.trust import folders, offline_root, releases, roles
from limosa_compiler.trust.errors import RotationRefused
from limosa_compiler.trust.key_sources import HeldKey
from limosa_compiler.trust.offline_folder import open_team, open_team_publicly, read_top
from limosa_compiler.trust.rotation import Places, Rotated
from limosa_compiler.trust.team_folder import FORMER_KEYS
from limosa_contracts.signing_keys import Algorithm, SigningKey, Signs


def rotate_team(
    places: Places, team: str, now: datetime, *, held: HeldKey | None = None, retire: bool = False
) -> Rotated:
    """The team's role and bins signed with a new key, named by a new top role beside the old key.

    The old key itself is not needed: it may be the one that is lost. `held`: the new key is one that a
    device or service holds. `retire`: the old key is not named any more.
    Raises RotationRefused, WrongTeam, DamagedMetadata, SystemRefused.
    """
    folder = places.offline / "teams" / roles.check_team(team)
    former = folder / "metadata" / FORMER_KEYS
    current = open_team_publicly(places.offline, team)
    before = roles.tuf_key(current.key.public).keyid
    key: Signs = held or SigningKey.generate(Algorithm.P256)
    fresh = roles.tuf_key(key.public)
    if fresh.keyid == before:
        raise RotationRefused("this is the key that the team has", where=str(folder))
    top = read_top(places.offline)
    top.add_key(fresh, team)
    if retire:
        _retire_all_but(top, team, fresh.keyid)
    files = _signed_anew(deepcopy(current.role), current.bins, team, key, now)
    # Others may have published with the old key since: `publish --sync` takes that over (trust 2.3).
    known = former.read_bytes() if former.exists() else b""
    folders.write_durably(former, known + current.key.public.pem())
    # The top role first: with it the old signatures still hold, and without it the new ones would not.
    signed_top = offline_root.sign_top(top, places.targets_key(), now)
    folders.write_durably(places.offline / "metadata" / "targets.json", signed_top)
    if isinstance(key, SigningKey):
        folders.write_durably(folder / "team.pem", key.pem(), mode=folders.PRIVATE_FILE)
        folders.remove_durably(folder / "team.uri")
    elif held is not None:
        folders.write_durably(folder / "team.uri", held.uri.encode() + b"\n")
        folders.remove_durably(folder / "team.pem")
    folders.write_durably(folder / "team.pub", key.public.pem())
    for role, (version, data) in files.items():
        folders.write_durably(folder / "metadata" / f"{role}.json", data)
        folders.write_durably(places.server / "tuf" / f"{version}.{role}.json", data)
    offline_root.deliver(places.offline, places.server)
    return Rotated(what=f"team {team}", replaced=(before,), now=(fresh.keyid,))


def retire_team_keys(places: Places, team: str, now: datetime) -> Rotated:
    """The top role names the team's present key alone: models that former keys signed install no more.

    Those that run keep running. Raises RotationRefused where there is no former key.
    """
    current = open_team(places.offline, team, places.environment)
    keyid = roles.tuf_key(current.key.public).keyid
    top = read_top(places.offline)
    gone = _retire_all_but(top, team, keyid)
    if not gone:
        raise RotationRefused(f"team {team!r} has one key", where="limosa keys retire")
    data = offline_root.sign_top(top, places.targets_key(), now)
    folders.write_durably(places.offline / "metadata" / "targets.json", data)
    offline_root.deliver(places.offline, places.server)
    return Rotated(what=f"team {team}", replaced=gone, now=(keyid,))


def _signed_anew(
    role: Targets, current: Mapping[str, Metadata[Targets]], team: str, key: Signs, now: datetime
) -> dict[str, tuple[int, bytes]]:
    """role name -> (version, bytes): the team's role lends its bins to `key`, and `key` signs them all."""
    bins = roles.bins_of(role, where=team)
    fresh = roles.tuf_key(key.public)
    bins.keyids[:] = [fresh.keyid]
    assert role.delegations is not None
    role.delegations.keys.clear()
    role.delegations.keys[fresh.keyid] = fresh
    made = {team: (role, releases.resigned(role, key, now))}
    for name, metadata in current.items():
        document = releases.copy_of(metadata)
        made[name] = (document, releases.resigned(document, key, now))
    return {name: (document.version, data) for name, (document, data) in made.items()}


def _retire_all_but(top: Targets, team: str, keyid: str) -> tuple[str, ...]:
    delegated = (top.delegations.roles or {}).get(team) if top.delegations is not None else None
    if delegated is None:
        raise RotationRefused(f"the top role names no team {team!r}", where="targets.json")
    gone = tuple(other for other in delegated.keyids if other != keyid)
    for other in gone:
        top.revoke_key(other, team)
    return gone

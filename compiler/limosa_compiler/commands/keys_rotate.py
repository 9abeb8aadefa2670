"""`limosa keys rotate|retire`: a new key in the place of each that there is (trust 1.2)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from limosa_compiler.commands.keys_group import EXISTING, TEAM_KEY, TEAM_PUBLIC_KEY, held_team_key, keys
from limosa_compiler.trust import root_ca, rotation, server_keys, team_rotation
from limosa_compiler.trust.folders import locked
from limosa_compiler.trust.key_sources import HeldKey
from limosa_compiler.trust.rotation import Places, Rotated
from limosa_contracts.cli import answer, json_option, progress
from limosa_contracts.errors import Usage
from limosa_contracts.json_value import JsonObject

SERVER = click.option(
    "--server", type=EXISTING, required=True, help="DATA/trust of the server, or a copy of it."
)
OFFLINE_OR_NONE = click.option(
    "--offline", type=EXISTING, default=None, help="The offline folder, for what is signed there."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    places: Places
    now: datetime
    team: str
    numbers: tuple[int, ...]
    hosts: tuple[str, ...]
    held: HeldKey | None
    retire: bool


ROTATIONS: Final[Mapping[str, Callable[[_Asked], Rotated]]] = {
    "root": lambda a: rotation.rotate_root(a.places, a.now, numbers=a.numbers),
    "targets": lambda a: rotation.rotate_targets(a.places, a.now),
    "team": lambda a: team_rotation.rotate_team(a.places, a.team, a.now, held=a.held, retire=a.retire),
    "snapshot": lambda a: rotation.rotate_online(a.places, "snapshot", a.now),
    "timestamp": lambda a: rotation.rotate_online(a.places, "timestamp", a.now),
    "director": lambda a: rotation.rotate_director(a.places, a.now),
    "root-ca": lambda a: root_ca.rotate_root_ca(a.places, a.now),
    "device-ca": lambda a: server_keys.rotate_device_ca(a.places, a.now),
    "server-certificate": lambda a: server_keys.rotate_server_certificate(a.places, a.now, hosts=a.hosts),
    "audit": lambda a: server_keys.rotate_audit(a.places),
    "access-token": lambda a: server_keys.rotate_access_token(a.places),
}
AT_THE_SERVER: Final = ("server-certificate", "audit", "access-token")
"""What needs no offline key."""
AFTERWARDS: Final[Mapping[str, str]] = {
    "team": "limosa publish --sync --offline DIR --team {team} --server URL; later limosa keys retire team",
    "device-ca": "limosa keys rotate server-certificate; when all devices have renewed, limosa keys retire",
    "root-ca": "devices are told within a day: limosa server root-ca; then limosa keys retire root-ca",
    "director": "of a key that was stolen: limosa server epoch bump too",
    "root": "keep the new root keys apart from one another, and a copy of each in a safe place",
}


@keys.command(
    "rotate",
    examples=[
        "limosa keys rotate director --offline keys --server fleet/trust",
        "limosa keys rotate root --number 2 --offline keys --server fleet/trust  # one of the three",
        "limosa keys rotate team --team vision --offline keys --server fleet/trust",
        "limosa keys rotate server-certificate --server fleet/trust --host fleet.example.com",
    ],
)
@click.argument("what", type=click.Choice(list(ROTATIONS)))
@OFFLINE_OR_NONE
@SERVER
@click.option("--team", default="", metavar="NAME", help="With team: whose key.")
@click.option(
    "--number", "numbers", multiple=True, type=click.IntRange(1, 9), help="With root: which; all if left out."
)
@click.option(
    "--host", "hosts", multiple=True, metavar="NAME", help="With server-certificate: one name more."
)
@click.option(
    "--retire", is_flag=True, help="With team: the old key holds no more, at once. For one that was stolen."
)
@TEAM_KEY
@TEAM_PUBLIC_KEY
@json_option
def keys_rotate(
    what: str,
    offline: Path | None,
    server: Path,
    team: str,
    numbers: tuple[int, ...],
    hosts: tuple[str, ...],
    retire: bool,
    team_key: str | None,
    team_public_key: Path | None,
    as_json: bool,
) -> None:
    """Put a new key in the place of one.

    Devices follow by themselves, and the server takes the change up while it runs: nobody has to visit a
    device. Where the server's folder is on another machine, carry a copy here and back.
    """
    _check_offline(offline, needed=what not in AT_THE_SERVER)
    _check_fits(what, team=team, numbers=numbers, hosts=hosts, retire=retire, held=team_key)
    asked = _Asked(
        places=_places(offline, server),
        now=datetime.now(UTC),
        team=team,
        numbers=numbers,
        hosts=hosts,
        held=held_team_key(team_key, team_public_key),
        retire=retire,
    )
    with locked(asked.places.offline):
        done = ROTATIONS[what](asked)
    answer(_json(done), as_json=as_json, text=lambda: _text(done))
    if what in AFTERWARDS:
        progress(f"hint: {AFTERWARDS[what].format(team=team)}")


@keys.command(
    "retire",
    examples=[
        "limosa keys retire team --team vision --offline keys --server fleet/trust",
        "limosa keys retire device-ca --server fleet/trust",
        "limosa keys retire root-ca --server fleet/trust --without shop-17",
    ],
)
@click.argument("what", type=click.Choice(["team", "device-ca", "root-ca"]))
@OFFLINE_OR_NONE
@SERVER
@click.option("--team", default="", metavar="NAME", help="With team: whose keys.")
@click.option(
    "--without",
    multiple=True,
    metavar="DEVICE",
    help="With root-ca: a device that is left behind; repeatable.",
)
@json_option
def keys_retire(
    what: str, offline: Path | None, server: Path, team: str, without: tuple[str, ...], as_json: bool
) -> None:
    """End the time in which a replaced key is good beside the new one.

    Of a team: models that the former key signed install no more; those that run keep running. Of the device
    CA: the broker lets nobody in any more with a certificate of the former one; start the server anew for it.
    Of the root CA: devices that have not got the new one would not find back, so none may be left.
    """
    _check_offline(offline, needed=what == "team")
    _check_fits(what, team=team, without=without)
    places = _places(offline, server)
    with locked(places.offline):
        if what == "team":
            done = team_rotation.retire_team_keys(places, team, datetime.now(UTC))
        elif what == "root-ca":
            done = root_ca.retire_root_ca(places, datetime.now(UTC), without=without)
        else:
            done = server_keys.retire_device_ca(places)
    answer(_json(done), as_json=as_json, text=lambda: _text(done))


def _check_fits(what: str, *, team: str = "", **given: object) -> None:
    """Raises Usage for options that belong to another key."""
    for name, belongs in (
        ("numbers", "root"),
        ("hosts", "server-certificate"),
        ("retire", "team"),
        ("held", "team"),
        ("without", "root-ca"),
    ):
        if given.get(name) and what != belongs:
            raise Usage(f"an option goes with {belongs}", where=f"limosa keys rotate {what}", why=name)
    if (what == "team") != bool(team):
        raise Usage("--team NAME goes with team, and team needs it", where=f"limosa keys rotate {what}")


def _check_offline(offline: Path | None, *, needed: bool) -> None:
    """Raises Usage."""
    if offline is None and needed:
        raise Usage("--offline is needed: offline keys sign this", where="limosa keys")


def _places(offline: Path | None, server: Path) -> Places:
    return Places(offline=offline or server, server=server, environment=os.environ)


def _json(done: Rotated) -> JsonObject:
    return {"what": done.what, "replaced": list(done.replaced), "now": list(done.now)}


def _text(done: Rotated) -> str:
    now = ", ".join(f"{keyid[:12]}…" for keyid in done.now) or "a new one"
    before = ", ".join(f"{keyid[:12]}…" for keyid in done.replaced)
    return f"{done.what}: {now}" + (f", in the place of {before}" if before else "")

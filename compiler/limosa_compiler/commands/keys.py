"""`limosa keys`: make the keys of a fleet, show them, add a team, sign its roles anew (trust 1)."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from limosa_compiler.commands import keys_rotate  # noqa: F401  # its commands are of this group
from limosa_compiler.commands.keys_group import (
    EXISTING,
    FOLDER,
    OFFLINE,
    TEAM_KEY,
    TEAM_PUBLIC_KEY,
    held_team_key,
    keys,
)
from limosa_compiler.trust import offline_folder, rotation
from limosa_compiler.trust.ceremony import init_keys
from limosa_compiler.trust.folders import locked
from limosa_compiler.trust.offline_folder import TeamSummary
from limosa_compiler.trust.rotation import Places
from limosa_contracts.cli import answer, columns, json_option, progress
from limosa_contracts.errors import Usage
from limosa_contracts.json_value import JsonObject


@keys.command(
    "init",
    examples=[
        "limosa keys init --offline keys --server data/trust --team vision --host fleet.example.com",
        "limosa keys init --dev --offline keys --server data/trust --team demo  # one root key of one",
    ],
)
@click.option("--offline", type=FOLDER, required=True, help="Where root, targets and team keys go.")
@click.option("--server", type=FOLDER, required=True, help="Where the server's go: DATA/trust of the server.")
@click.option("--team", required=True, metavar="NAME", help="The first team; more by `limosa keys add-team`.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="A name or address of the server.")
@click.option("--dev", is_flag=True, help="One root key instead of two of three.")
@TEAM_KEY
@TEAM_PUBLIC_KEY
@json_option
def keys_init(
    offline: Path,
    server: Path,
    team: str,
    hosts: tuple[str, ...],
    dev: bool,
    team_key: str | None,
    team_public_key: Path | None,
    as_json: bool,
) -> None:
    """Make the keys and the trust root of a team.

    Keep the offline folder off the server: who has the server alone cannot run a model on a device.
    Nothing is ever overwritten.
    """
    held = held_team_key(team_key, team_public_key)
    init_keys(
        offline=offline, server=server, team=team, now=datetime.now(UTC), dev=dev, hosts=hosts, held=held
    )
    summary = offline_folder.summaries(offline)[0]
    answer(
        {"offline": str(offline), "server": str(server), "dev": dev, "team": _json(summary)},
        as_json=as_json,
        text=lambda: f"team {team}: key {summary.tuf_keyid[:12]}…, until {summary.expires:%Y-%m-%d}",
    )
    progress(f"hint: keep {offline} off the server, and a copy of it in a safe place")


@keys.command("show", examples=["limosa keys show --offline keys"])
@OFFLINE
@json_option
def keys_show(offline: Path, as_json: bool) -> None:
    """Show the teams of an offline folder, their keys and when their roles expire."""
    found = offline_folder.summaries(offline)
    rows = [
        [t.team, t.tuf_keyid[:12], t.keyid[:12], f"{t.expires:%Y-%m-%d}", str(len(t.releases))] for t in found
    ]
    answer(
        {"teams": [_json(team) for team in found]},
        as_json=as_json,
        text=lambda: columns(["TEAM", "KEY", "IN SIGNATURES", "EXPIRES", "RELEASES"], rows),
    )


@keys.command("add-team", examples=["limosa keys add-team --offline keys --server data/trust --team audio"])
@OFFLINE
@click.option("--server", type=EXISTING, required=True, help="DATA/trust of the server, or a copy of it.")
@click.option("--team", required=True, metavar="NAME", help="The new team.")
@TEAM_KEY
@TEAM_PUBLIC_KEY
@json_option
def keys_add_team(
    offline: Path,
    server: Path,
    team: str,
    team_key: str | None,
    team_public_key: Path | None,
    as_json: bool,
) -> None:
    """Make the keys of one more team, and sign a top role that lends it its paths."""
    made = offline_folder.add_team(
        offline,
        server,
        team,
        now=datetime.now(UTC),
        environment=os.environ,
        held=held_team_key(team_key, team_public_key),
    )
    answer(
        _json(made),
        as_json=as_json,
        text=lambda: f"team {team}: key {made.tuf_keyid[:12]}…, until {made.expires:%Y-%m-%d}",
    )
    progress(f"hint: a running server takes the team up by itself, from {server / 'tuf'}")


@keys.command(
    "refresh",
    examples=[
        "limosa keys refresh --offline keys --team vision",
        "limosa keys refresh --offline keys --root --server data/trust  # another year",
        "limosa keys refresh --offline keys --targets --server data/trust",
    ],
)
@OFFLINE
@click.option("--team", default="", metavar="NAME", help="The team whose role is signed anew.")
@click.option("--root", is_flag=True, help="The root, for another year.")
@click.option("--targets", is_flag=True, help="The top role, for another 180 days.")
@click.option(
    "--server", type=EXISTING, default=None, help="With --root and --targets: DATA/trust of the server."
)
@json_option
def keys_refresh(
    offline: Path, team: str, root: bool, targets: bool, server: Path | None, as_json: bool
) -> None:
    """Sign a role for another while, with the same keys.

    A team's role and bins live 90 days; `limosa publish --sync` sends them. Root and top role are written
    into the server's folder too.
    """
    if (bool(team), root, targets).count(True) != 1:
        raise Usage("give one of --team NAME, --root, --targets", where="limosa keys refresh")
    if team:
        _refresh_team(offline, team, as_json=as_json)
        return
    if server is None:
        raise Usage("--server is needed: the new version goes there too", where="limosa keys refresh")
    places = Places(offline=offline, server=server, environment=os.environ)
    with locked(offline):
        sign = rotation.refresh_root if root else rotation.refresh_targets
        expires = sign(places, datetime.now(UTC))
    what = "root" if root else "targets"
    answer(
        {"what": what, "expires": expires.isoformat()},
        as_json=as_json,
        text=lambda: f"{what}, until {expires:%Y-%m-%d}",
    )


def _refresh_team(offline: Path, team: str, *, as_json: bool) -> None:
    with locked(offline_folder.metadata_folder(offline, team)):
        folder = offline_folder.open_team(offline, team, os.environ)
        signed = offline_folder.refresh_team(folder, datetime.now(UTC))
    answer(
        {"team": team, "roles": list(signed), "expires": folder.role.expires.isoformat()},
        as_json=as_json,
        text=lambda: f"{len(signed)} roles of team {team}, until {folder.role.expires:%Y-%m-%d}",
    )
    progress(f"hint: limosa publish --sync --offline {offline} --team {team} --server URL")


def _json(summary: TeamSummary) -> JsonObject:
    return {
        "team": summary.team,
        "keyid": summary.keyid,
        "tuf_keyid": summary.tuf_keyid,
        "expires": summary.expires.isoformat(),
        "releases": list(summary.releases),
    }

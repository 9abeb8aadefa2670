"""`limosa keys`: make the keys of a fleet, show them, add a team, sign its roles anew (trust 1)."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from limosa_compiler.trust import offline_folder
from limosa_compiler.trust.ceremony import init_keys
from limosa_compiler.trust.folders import locked
from limosa_compiler.trust.key_sources import HeldKey, held_key, is_uri, read_public
from limosa_compiler.trust.offline_folder import TeamSummary
from limosa_contracts.cli import answer, columns, group, json_option, progress
from limosa_contracts.errors import Usage
from limosa_contracts.json_value import JsonObject

FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING = click.Path(exists=True, file_okay=False, path_type=Path)
OFFLINE = click.option("--offline", type=EXISTING, required=True, help="The folder that stays offline.")

TEAM_KEY = click.option(
    "--team-key", metavar="URI", help="A key that a device or service holds: hsm:, awskms:, gcpkms:, …"
)
TEAM_PUBLIC_KEY = click.option(
    "--team-public-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Its public half, in PEM.",
)


@group("keys", examples=["limosa keys init --offline keys --server data/trust --team vision"])
def keys() -> None:
    """Keys and the trust root of a team."""


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
    held = _held(team_key, team_public_key)
    init_keys(
        offline=offline, server=server, team=team, now=datetime.now(UTC), dev=dev, hosts=hosts, held=held
    )
    summary = offline_folder.summaries(offline)[0]
    answer(
        {"offline": str(offline), "server": str(server), "dev": dev, "team": _json(summary)},
        as_json=as_json,
        text=lambda: f"team {team}: key {summary.keyid[:12]}…, until {summary.expires:%Y-%m-%d}",
    )
    progress(f"hint: keep {offline} off the server, and a copy of it in a safe place")


@keys.command("show", examples=["limosa keys show --offline keys"])
@OFFLINE
@json_option
def keys_show(offline: Path, as_json: bool) -> None:
    """Show the teams of an offline folder, their keys and when their roles expire."""
    found = offline_folder.summaries(offline)
    rows = [[t.team, t.keyid[:12], f"{t.expires:%Y-%m-%d}", str(len(t.releases))] for t in found]
    answer(
        {"teams": [_json(team) for team in found]},
        as_json=as_json,
        text=lambda: columns(["TEAM", "KEY", "EXPIRES", "RELEASES"], rows),
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
        held=_held(team_key, team_public_key),
    )
    answer(
        _json(made),
        as_json=as_json,
        text=lambda: f"team {team}: key {made.keyid[:12]}…, until {made.expires:%Y-%m-%d}",
    )
    progress(f"hint: start the server anew: it reads {server / 'tuf'} at its start")


@keys.command("refresh", examples=["limosa keys refresh --offline keys --team vision"])
@OFFLINE
@click.option("--team", required=True, metavar="NAME", help="The team whose role is signed anew.")
@json_option
def keys_refresh(offline: Path, team: str, as_json: bool) -> None:
    """Sign a team's role and bins for another 90 days; `limosa publish --sync` sends them."""
    with locked(offline_folder.metadata_folder(offline, team)):
        folder = offline_folder.open_team(offline, team, os.environ)
        signed = offline_folder.refresh_team(folder, datetime.now(UTC))
    answer(
        {"team": team, "roles": list(signed), "expires": folder.role.expires.isoformat()},
        as_json=as_json,
        text=lambda: f"{len(signed)} roles of team {team}, until {folder.role.expires:%Y-%m-%d}",
    )
    progress(f"hint: limosa publish --sync --offline {offline} --team {team} --server URL")


def _held(uri: str | None, public: Path | None) -> HeldKey | None:
    """The key that is not made here, if one is named. Raises Usage, KeyUnusable."""
    if uri is None:
        if public is not None:
            raise Usage("--team-public-key goes with --team-key", where="limosa keys")
        return None
    if not is_uri(uri):
        raise Usage(
            "--team-key takes the URI of a key that a device or service holds",
            where="limosa keys",
            why=uri[:80],
            hint="without it a key is made, in the offline folder",
        )
    return held_key(uri, read_public(public) if public is not None else None, os.environ)


def _json(summary: TeamSummary) -> JsonObject:
    return {
        "team": summary.team,
        "keyid": summary.keyid,
        "expires": summary.expires.isoformat(),
        "releases": list(summary.releases),
    }

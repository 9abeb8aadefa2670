"""The group `limosa keys`, and what several of its commands take."""

from __future__ import annotations

import os
from pathlib import Path

import click

from limosa_compiler.trust.key_sources import HeldKey, held_key, is_uri, read_public
from limosa_contracts.cli import group
from limosa_contracts.errors import Usage

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


def held_team_key(uri: str | None, public: Path | None) -> HeldKey | None:
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

"""Options that commands share: the team's key, and the server with its token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
C = TypeVar("C", bound=Callable[..., Any])

_KEY: Final = (
    click.option(
        "--key", metavar="FILE|env:NAME|URI", help="The team's key, if not --offline's; else LIMOSA_TEAM_KEY."
    ),
    click.option(
        "--public-key", type=FILE, help="Its public half in PEM; a URI (hsm:, awskms:, …) needs it."
    ),
)
_SERVER: Final = (
    click.option(
        "--server", envvar="LIMOSA_SERVER", metavar="URL", help="Or LIMOSA_SERVER; without it only signed."
    ),
    click.option(
        "--token",
        envvar="LIMOSA_TOKEN",
        metavar="lmp_…",
        help="API token of role publisher; or LIMOSA_TOKEN.",
    ),
    click.option(
        "--ca",
        type=FILE,
        envvar="LIMOSA_CA",
        help="Certificate authority of the server, in PEM; or LIMOSA_CA.",
    ),
)


def team_key_options(command: C) -> C:
    """`key`, `public_key`."""
    for option in reversed(_KEY):
        command = option(command)
    return command


def server_options(command: C) -> C:
    """`server`, `token`, `ca`."""
    for option in reversed(_SERVER):
        command = option(command)
    return command

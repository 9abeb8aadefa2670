"""`limosa rollout submit|approve|deny|finish`"""

from __future__ import annotations

import click

from limosa_contracts.cli import command, json_option
from limosa_server.cli.rollout import action
from limosa_server.cli.rollout_number import ROLLOUT
from limosa_server.client import server_options


@command("submit", examples=["limosa rollout submit 7"])
@click.argument("rollout", type=ROLLOUT)
@server_options
@json_option
def submit(rollout: int, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Ask for a rollout that was written down with `start --draft`.

    Its devices are those of when it was written.
    """
    action("submit", rollout, {}, (server, token, ca), as_json)


@command("approve", examples=["limosa rollout approve 7 --remark 'looked at the plan'"])
@click.argument("rollout", type=ROLLOUT)
@click.option("--remark", default="", help="Why; people will read it.")
@server_options
@json_option
def approve(
    rollout: int, remark: str, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Agree to a rollout that waits for approval, under your name."""
    action("approve", rollout, {"remark": remark}, (server, token, ca), as_json)


@command("deny", examples=["limosa rollout deny 7 --remark 'not on a Friday'"])
@click.argument("rollout", type=ROLLOUT)
@click.option("--remark", default="", help="Why; people will read it.")
@server_options
@json_option
def deny(
    rollout: int, remark: str, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Say no to a rollout that waits for approval; one is enough."""
    action("deny", rollout, {"remark": remark}, (server, token, ca), as_json)


@command("finish", examples=["limosa rollout finish 7"])
@click.argument("rollout", type=ROLLOUT)
@click.option("--remark", default="", help="Why; people will read it.")
@server_options
@json_option
def finish(
    rollout: int, remark: str, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """End a rollout that follows its group.

    Devices that join from now on do not get the release by it; it completes by its own rules.
    """
    action("finish", rollout, {"remark": remark}, (server, token, ca), as_json)

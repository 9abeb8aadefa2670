"""`limosa-agent tuf`: loaded only when it is asked for, since python-tuf is heavy."""

from __future__ import annotations

import click

from limosa_contracts.cli import command


@command(
    "tuf",
    examples=["limosa-agent tuf --metadata-dir D --metadata-url URL/tuf/metadata refresh"],
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def tuf_command(words: tuple[str, ...]) -> None:
    """Refresh and verify TUF metadata by hand."""
    from limosa_agent.fetch.tuf_command import tuf

    tuf.main(args=list(words), prog_name="limosa-agent tuf")

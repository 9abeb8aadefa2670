"""`limosa-agent install-service` and `limosa-agent uninstall`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from limosa_agent.commands.options import config_option
from limosa_contracts.cli import answer, command, json_option

ROOT = click.Path(path_type=Path, file_okay=False)


@command(
    "install-service",
    examples=[
        "limosa-agent install-service",
        "limosa-agent install-service --root /mnt/image --program /opt/limosa/bin/limosa-agent",
    ],
)
@config_option
@click.option("--root", type=ROOT, default=Path("/"), help="Write below this folder: an image being made.")
@click.option("--user", default="limosa", show_default=True, help="The user that the agent runs as.")
@click.option(
    "--program", type=click.Path(path_type=Path), help="limosa-agent as the device sees it; else this one."
)
@json_option
def install_service_command(config: Path, root: Path, user: str, program: Path | None, as_json: bool) -> None:
    """Make the agent a service: systemd units with a watchdog, a user of its own, and its sockets.

    Where systemd runs, the units are enabled and started. With --root they are only written. Run it
    again after a change of `listen`, `socket` or `state_dir`.
    """
    from limosa_agent.config import AgentConfig
    from limosa_agent.service import install

    here = install.describe(
        AgentConfig.load(config),
        config.absolute(),
        user=user,
        program=(program or install.this_program()).absolute(),
    )
    written = install.write(here, root)
    starts = root == Path("/") and install.systemd_runs()
    if starts:
        install.start(here)
    told = "the agent runs: systemctl status limosa-agent" if starts else "nothing was started"
    answer(
        {"written": [str(path) for path in written], "started": starts},
        as_json=as_json,
        text=lambda: "\n".join([*(f"written {path}" for path in written), told]),
    )


@command(
    "uninstall",
    examples=["limosa-agent uninstall --dry-run", "limosa-agent uninstall --yes"],
)
@config_option
@click.option(
    "--root",
    type=ROOT,
    default=Path("/"),
    help="Where units were written; state and configuration go as --config names them.",
)
@click.option("--user", default="limosa", show_default=True, help="The user that install-service made.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@json_option
def uninstall_command(config: Path, root: Path, user: str, yes: bool, dry_run: bool, as_json: bool) -> int:
    """Remove everything of the agent from this device: service, models, identity, configuration.

    The device's key is gone then: to come back it needs a new token. Files in the state folder that
    are not the agent's are kept and named; the exit code is 3 then. The program itself is left to who
    installed it.
    """
    from limosa_agent.config import AgentConfig
    from limosa_agent.service import uninstall

    settings = AgentConfig.load(config)
    found = uninstall.plan(settings, config.absolute(), root=root)
    if not dry_run:
        question = f"Remove {len(found.removed)} entries, the device's key in {settings.state_dir} with them?"
        if not yes and not click.confirm(question, err=True):
            click.echo("nothing was removed", err=True)
            return 3
        found = uninstall.remove(settings, config.absolute(), root=root, user=user)
    word = "would remove" if dry_run else "removed"
    lines = [f"{word} {path}" for path in found.removed]
    lines += [f"kept {path}: not the agent's" for path in found.kept]
    lines.append(f"what is left is the program: rm -r {Path(sys.prefix)}, or pip uninstall limosa")
    answer(
        {
            "removed": [str(path) for path in found.removed],
            "kept": [str(path) for path in found.kept],
            "dry_run": dry_run,
        },
        as_json=as_json,
        text=lambda: "\n".join(lines),
    )
    return 3 if found.kept else 0

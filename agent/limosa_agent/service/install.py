"""Writes the units, makes the user, and lets systemd start the agent: `limosa-agent install-service`."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from limosa_agent.config import AgentConfig
from limosa_agent.service.errors import ServiceRefused
from limosa_agent.service.units import (
    SERVICE,
    SOCKET,
    SYSUSERS,
    Installed,
    service_unit,
    socket_unit,
    sysusers,
)

UNITS: Final = Path("etc/systemd/system")
USERS: Final = Path("etc/sysusers.d")
BOOTED: Final = Path("/run/systemd/system")  # there while systemd is process 1
HIDDEN: Final = (PurePosixPath("/home"), PurePosixPath("/root"), PurePosixPath("/run/user"))
"""What ProtectHome= hides from the service; another user could not read most of it anyway."""
TAKES_MAX_S: Final = 120.0
USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,30}")


def describe(config: AgentConfig, config_path: Path, *, user: str, program: Path) -> Installed:
    """Raises ServiceRefused where the service could not work."""
    if not USER.fullmatch(user):
        raise ServiceRefused(f"{user!r} is no name for a user", why="small letters, digits, - and _")
    for what, path in (
        ("the program", program),
        ("the configuration", config_path),
        ("the state folder", config.state_dir),
    ):
        hidden = [place for place in HIDDEN if place in PurePosixPath(path).parents]
        if hidden:
            raise ServiceRefused(
                f"{what} lies in {hidden[0]}, which the service does not see",
                where=str(path),
                hint="install into a place of the system: python3 -m venv /opt/limosa",
            )
    for named in (program, config_path, config.state_dir, config.socket):
        if any(ord(character) < 32 for character in str(named)):
            raise ServiceRefused("a path has a control character in its name", where=repr(str(named)))
    listen = [config.listen] if config.listen and not config.listen.endswith(":0") else []
    if config.listen and not listen:
        raise ServiceRefused(
            "`listen` has port 0", where=str(config_path), why="a socket unit needs a port that stays"
        )
    return Installed(
        program=PurePosixPath(program),
        config=PurePosixPath(config_path),
        state_dir=PurePosixPath(config.state_dir),
        user=user,
        listen=[*listen, *([str(config.socket)] if config.socket else [])],
    )


def this_program() -> Path:
    """`limosa-agent` beside this interpreter."""
    return Path(sys.executable).parent / "limosa-agent"


def texts(here: Installed) -> Mapping[Path, str]:
    """Path below the root of the system -> content."""
    units = {UNITS / SERVICE: service_unit(here), USERS / SYSUSERS: sysusers(here)}
    return units | ({UNITS / SOCKET: socket_unit(here)} if here.listen else {})


def write(here: Installed, root: Path) -> Sequence[Path]:
    """The files written below `root`. Raises ServiceRefused."""
    written = []
    for relative, text in texts(here).items():
        path = root / relative
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.new")
            fresh.write_text(text, encoding="utf-8")
            fresh.chmod(0o644)
            fresh.replace(path)
        except OSError as error:
            raise ServiceRefused(
                "a unit cannot be written", where=str(path), why=error.strerror or "", hint="run it as root"
            ) from error
        written.append(path)
    return written


def systemd_runs() -> bool:
    return BOOTED.is_dir()


def start(here: Installed) -> None:
    """Makes the user, enables and starts the units. Raises ServiceRefused."""
    system("systemd-sysusers", SYSUSERS)
    if here.state_dir.is_relative_to("/var/lib") is False:
        Path(here.state_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
        own(Path(here.state_dir), here.user)
    system("systemctl", "daemon-reload")
    units = [SOCKET, SERVICE] if here.listen else [SERVICE]
    system("systemctl", "enable", *units)
    system("systemctl", "restart", *units)


def own(folder: Path, user: str) -> None:
    """Gives the folder and what is in it to the user; links themselves, not what they lead to.

    By descriptors: the user may be writing there already, and must not lead root elsewhere by a link."""
    try:
        entry = pwd.getpwnam(user)
        for _, folders, files, here in os.fwalk(folder.resolve()):
            os.chown(here, entry.pw_uid, entry.pw_gid)
            for name in (*folders, *files):
                os.chown(name, entry.pw_uid, entry.pw_gid, dir_fd=here, follow_symlinks=False)
    except (OSError, LookupError) as error:
        raise ServiceRefused(
            f"the state folder cannot be given to {user}", where=str(folder), why=str(error)
        ) from error


def system(*command: str) -> None:
    """Raises ServiceRefused with what the program said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TAKES_MAX_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceRefused(f"{command[0]} did not work", why=str(error)) from error
    if done.returncode != 0:
        raise ServiceRefused(
            f"{' '.join(command[:2])} ended with {done.returncode}", why=done.stderr.strip()[:500]
        )

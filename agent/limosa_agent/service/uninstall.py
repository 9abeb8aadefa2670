"""Takes everything off a device that the agent put there, and nothing else (agent 7.2)."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from limosa_agent.config import AgentConfig
from limosa_agent.service.errors import UninstallRefused
from limosa_agent.service.install import UNITS, USERS, system, systemd_runs
from limosa_agent.service.units import SERVICE, SOCKET, SYSUSERS

LOCK: Final = "agent.lock"
MARKS: Final = (LOCK, "state.db", "identity")
"""One of these makes a folder a state folder: `state_dir` may be a slip of the pen."""
OURS: Final = (
    "models",
    "blobs",
    "tuf",
    "state.db*",
    "identity*",
    "hold*",
    "logs",
    "*.log*",
    "graphs",
    "*.sock",
    "*.lock",
    ".writable",
)
"""Every name that the agent makes in its state folder, in the order in which they go: a removal that was
cut leaves the marks, and is taken up again."""
NEVER: Final = ("/", "/etc", "/home", "/opt", "/root", "/run", "/srv", "/usr", "/var", "/var/lib")


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    removed: Sequence[Path]
    kept: Sequence[Path]  # what lies in the state folder and is not the agent's


def plan(config: AgentConfig, config_path: Path, *, root: Path) -> Removal:
    """What `uninstall` would remove. Raises UninstallRefused for a folder that is not a state folder."""
    config = _of_image(config, config_path, root)
    units = [root / UNITS / SERVICE, root / UNITS / SOCKET, root / USERS / SYSUSERS]
    units += [
        root / UNITS / "multi-user.target.wants" / SERVICE,
        root / UNITS / "sockets.target.wants" / SOCKET,
    ]
    ours, others = _sorted_state(config.state_dir)
    sockets = [config.socket] if config.socket and _is_socket(config.socket) else []
    files = [*units, *sockets, *ours, config_path]
    return Removal(removed=[path for path in files if os.path.lexists(path)], kept=others)


def _of_image(config: AgentConfig, config_path: Path, root: Path) -> AgentConfig:
    """A configuration below `root` is an image's, and so are its folders: not this machine's."""
    if root == Path("/") or not config_path.is_relative_to(root.absolute()):
        return config

    def below(path: Path) -> Path:
        return path if path.is_relative_to(root.absolute()) else root.absolute() / path.relative_to("/")

    socket = below(config.socket.absolute()) if config.socket else None
    return replace(config, state_dir=below(config.state_dir), socket=socket)


def _sorted_state(folder: Path) -> tuple[list[Path], list[Path]]:
    """(ours, others) in the state folder."""
    if not os.path.lexists(folder):
        return [], []
    if str(folder) in NEVER or folder == Path.home() or folder.is_symlink() or not folder.is_dir():
        raise UninstallRefused("this is not a folder of an agent alone", where=str(folder))
    found = sorted(folder.iterdir())
    if found and not any((folder / mark).exists() for mark in MARKS):
        raise UninstallRefused(
            "this is not the state folder of an agent", where=str(folder), why=f"none of {', '.join(MARKS)}"
        )
    rank = {path: _rank(path.name) for path in found}
    ours = sorted((path for path in found if rank[path] >= 0), key=lambda path: (rank[path], path.name))
    return ours, [path for path in found if rank[path] < 0]


def _rank(name: str) -> int:
    """Place in the order of removal; -1 for what is not ours."""
    if name in MARKS:
        return len(OURS) + MARKS.index(name)
    return next((at for at, pattern in enumerate(OURS) if fnmatchcase(name, pattern)), -1)


def remove(config: AgentConfig, config_path: Path, *, root: Path, user: str = "") -> Removal:
    """Stops the service where systemd runs, then removes. Raises UninstallRefused, ServiceRefused."""
    config = _of_image(config, config_path, root)
    before = plan(config, config_path, root=root)
    managed = root == Path("/") and systemd_runs()
    units = [unit for unit in (SERVICE, SOCKET) if (root / UNITS / unit).exists()]
    if managed and units:
        system("systemctl", "disable", "--now", *units)
    with _nobody_runs(config.state_dir):
        after = plan(config, config_path, root=root)  # what the agent removed itself is gone by now
        for path in after.removed:
            _delete(path)
    _forget_empty(config, config_path, root)
    if managed and units:
        system("systemctl", "daemon-reload")
        if user:
            system("userdel", user)
    return Removal(removed=before.removed, kept=after.kept)


def _forget_empty(config: AgentConfig, config_path: Path, root: Path) -> None:
    """Folders that hold nothing any more, where their name says that they were for this alone."""
    named = [config_path.parent, *([config.socket.parent] if config.socket else [])]
    folders = [config.state_dir, *(one for one in named if one.name.startswith("limosa")), root / USERS]
    for folder in folders:
        with suppress(OSError):  # not empty: somebody else's files are in it; or a mount point
            folder.rmdir()


@contextmanager
def _nobody_runs(state_dir: Path) -> Iterator[None]:
    """Holds the agent's own lock, so that none starts meanwhile. Raises UninstallRefused."""
    try:
        descriptor = os.open(state_dir / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:  # it never ran, or a removal was cut
        yield
        return
    except OSError as error:
        raise UninstallRefused(
            "the state folder cannot be used",
            where=str(state_dir),
            why=error.strerror or "",
            hint="run it as root",
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UninstallRefused("the agent runs", where=str(state_dir)) from error
        yield
    finally:
        os.close(descriptor)


def _delete(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UninstallRefused(
            "a file cannot be removed",
            where=str(path),
            why=error.strerror or "",
            hint="mend that and run uninstall again: it goes on where it stopped",
        ) from error


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return False

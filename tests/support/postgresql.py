"""A real PostgreSQL of the tests' own: unprivileged, on a Unix socket only, ended by its pid."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypedDict

import psycopg

from tests.support.programs import unavailable
from tests.support.waiting import wait_until

INSTALLED: Final = "/usr/lib/postgresql"
USER: Final = "limosa"
PR_SET_PDEATHSIG: Final = 1
SETTINGS: Final = {
    "listen_addresses": "",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "512MB",
}
"""For tests that do not cut the power; who measures or kills asks for `durable`."""
INITDB: Final = ("-E", "UTF8", "--locale=C", "-A", "trust", "--no-sync", "--no-instructions")
DURABLE: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


def programs() -> Path:
    """The folder of `initdb` and `postgres`; skips, or fails when CI=true, where there is none."""
    on_path = shutil.which("initdb")
    found = sorted(Path(INSTALLED).glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if on_path is None and not found:
        unavailable("PostgreSQL is not installed (apt-get install postgresql)")
    return Path(on_path).resolve().parent if on_path else found[-1].parent


class _Identity(TypedDict, total=False):
    user: str
    group: str
    extra_groups: list[str]


class Cluster:
    """One server process. `url(name)` is a database of it, which `create` makes."""

    def __init__(
        self, folder: Path, *, durable: bool = False, settings: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.settings = SETTINGS | (DURABLE if durable else {}) | (settings or {})
        self._bin = programs()
        self._process: subprocess.Popen[bytes] | None = None
        folder.chmod(0o755)  # the folder may be root's; what is in it is the database user's
        self.data, self.socket = folder / "data", folder / "socket"
        for one in (self.data, self.socket):
            one.mkdir(mode=0o700)
            self.give(one)
        self._run([self._bin / "initdb", "-D", self.data, "-U", USER, *INITDB])

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, name: str) -> str:
        """On its socket, whatever else it listens on."""
        port = self.settings.get("port")
        return f"postgresql://{USER}@/{name}?host={self.socket}" + (f"&port={port}" if port else "")

    def start(self) -> None:
        options = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        log = (self.folder / "postgresql.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self.data), "-k", str(self.socket), *options],
                stdout=log, stderr=log, preexec_fn=_end_with_parent, **_as_user(),
            )  # fmt: skip
        wait_until(self._answers, timeout_s=30, what="PostgreSQL answers")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends sessions and shuts down; SIGKILL is a crash, of its children too."""
        if self._process is None:
            return
        children = _children(self._process.pid) if how is signal.SIGKILL else []
        for pid in (self._process.pid, *children):
            try:
                os.kill(pid, how)
            except ProcessLookupError:
                continue
        self._process.wait(30)
        self._process = None
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), timeout_s=10,
                   what="every backend has ended")  # fmt: skip

    @staticmethod
    def give(folder: Path) -> None:
        """To the user that the database runs as."""
        if os.geteuid() == 0:
            shutil.chown(folder, *_unprivileged())

    def create(self, name: str, *, template: str = "template0") -> str:
        """Makes a database, empty or as a copy of one that nobody is connected to."""
        self.command(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def drop(self, name: str) -> None:
        self.command(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def command(self, sql: str, *, database: str = "postgres") -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(sql.encode())

    def dump(self, name: str, *options: str) -> str:
        done = self._run([self._bin / "pg_dump", "-h", self.socket, "-U", USER, *options, name])
        return done.stdout.decode()

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError((self.folder / "postgresql.log").read_text())
        try:
            psycopg.connect(self.url("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, command: Sequence[str | Path]) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(command, capture_output=True, timeout=120, check=False, cwd="/", **_as_user())
        assert done.returncode == 0, done.stderr.decode()
        return done


@contextmanager
def running_cluster(*, durable: bool = False, settings: dict[str, str] | None = None) -> Iterator[Cluster]:
    """In a folder of its own under the system's temporary one: a socket's path is 107 characters at most."""
    folder = Path(tempfile.mkdtemp(prefix="limosa-pg-"))
    cluster = Cluster(folder, durable=durable, settings=settings)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> tuple[str, str]:
    """PostgreSQL refuses to run as root."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return ("postgres", "postgres") if "postgres" in names else ("nobody", "nogroup")


def _as_user() -> _Identity:
    if os.geteuid() != 0:
        return {}
    user, group = _unprivileged()
    return {"user": user, "group": group, "extra_groups": []}


def _end_with_parent() -> None:
    """A test run that is killed leaves no database behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []

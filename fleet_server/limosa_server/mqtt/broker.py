"""A broker as a child of the server: started, watched, started again when it dies (server 4)."""

from __future__ import annotations

import errno
import importlib.util
import logging
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from limosa_server.errors import BrokerFailed, ListenRefused
from limosa_server.mqtt import broker_config
from limosa_server.mqtt.broker_config import IOTCORE, MOSQUITTO, BrokerTls, Capabilities
from limosa_server.settings import ServerLimits, is_loopback

log = logging.getLogger(__name__)
SEARCHED: Final = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
READY_S: Final = 15.0
PORT_FREE_S: Final = 5.0  # a broker that was told to end saves its state first
STOP_S: Final = 3.0
BACK_OFF_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
STABLE_S: Final = 30.0  # after that long alive, the next death starts the back-off anew
LOG_MAX_BYTES: Final = 8 * 1024 * 1024


def choose(wanted: str, *, dev: bool) -> Capabilities:
    """`auto` takes mosquitto if it is installed, else iotcore, which is for loopback only."""
    if wanted in ("auto", "mosquitto") and find_mosquitto():
        return MOSQUITTO
    if wanted == "mosquitto":
        raise BrokerFailed("mosquitto is not installed", where="PATH")
    if importlib.util.find_spec("iotcore") is None:
        raise BrokerFailed("there is no broker to start", why="neither mosquitto nor iotcore is installed")
    if not dev:
        raise ListenRefused(
            "the embedded broker is for loopback only",
            why="it has no access control",
            hint="apt-get install mosquitto",
        )
    return IOTCORE


def find_mosquitto() -> str | None:
    return shutil.which("mosquitto", path=SEARCHED)


class BrokerChild:
    """Start it from anywhere: a thread of its own starts the process, watches it, and lives as long."""

    def __init__(
        self,
        kind: Capabilities,
        folder: Path,
        *,
        host: str,
        port: int,
        limits: ServerLimits,
        tls: BrokerTls | None = None,
    ) -> None:
        if kind is IOTCORE and not is_loopback(host):
            raise ListenRefused("the embedded broker is for loopback only", where=host)
        self.kind = kind
        self.host = host
        self.port = port or free_port(host)
        self._folder = folder
        self._limits = limits
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="broker", daemon=True)

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process and process.poll() is None else None

    def start(self) -> None:
        """Returns when it accepts connections. Raises BrokerFailed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._wait_for_port()
        self._write_config()
        self._thread.start()
        deadline = time.monotonic() + READY_S
        while not self._accepts():
            if time.monotonic() > deadline:
                self.stop()
                raise BrokerFailed(
                    f"{self.kind.name} does not listen on {self.host}:{self.port}", why=self._last_log_line()
                )
            time.sleep(0.02)

    def stop(self) -> None:
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
        if self._thread.is_alive():
            self._thread.join(STOP_S + 1)

    def reload(self) -> None:
        """Reads its list of revoked certificates again. Ended in between, it reads it at the next start."""
        process = self._process
        if self.kind is MOSQUITTO and process is not None and process.poll() is None:
            process.send_signal(signal.SIGHUP)

    def _wait_for_port(self) -> None:
        """Of a server that was killed, the broker needs a moment to end. Any other listener there would
        be taken for ours: devices and server would talk over a stranger. Raises BrokerFailed."""
        deadline = time.monotonic() + PORT_FREE_S
        while not _is_free(self.host, self.port):
            if time.monotonic() > deadline:
                raise BrokerFailed(
                    f"cannot listen on {self.host}:{self.port}",
                    where="--mqtt-port",
                    why="another program listens there",
                    hint="name another port, or 0 for a free one",
                )
            time.sleep(0.05)

    def _watch(self) -> None:
        deaths = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                self._run_once()
            except Exception:  # recorded; started again after the pause, as after any other end
                log.exception("the broker could not be started")
            if self._stopping.is_set():
                return
            deaths = 0 if time.monotonic() - started > STABLE_S else deaths
            pause = BACK_OFF_S[min(deaths, len(BACK_OFF_S) - 1)]
            deaths += 1
            log.warning("the broker ended; starting it again in %g s", pause)
            self._stopping.wait(pause)

    def _run_once(self) -> None:
        with self._log_path().open("ab") as output:
            process = subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                start_new_session=True,  # an interrupt at the terminal is the server's to handle
            )
        self._process = process
        while process.poll() is None and not self._stopping.wait(0.05):
            pass
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            process.kill()
        process.wait()
        if process.stdin:
            process.stdin.close()

    def _command(self) -> list[str]:
        if self.kind is MOSQUITTO:
            program = find_mosquitto()
            assert program is not None
            return list(broker_config.mosquitto_command(program, self._config_path(), os.getpid()))
        return list(broker_config.iotcore_command(self._config_path()))

    def _write_config(self) -> None:
        if self.kind is MOSQUITTO:
            text = broker_config.mosquitto_config(
                self._folder,
                host=self.host,
                port=self.port,
                user="root" if os.geteuid() == 0 else "",
                tls=self._tls,
                limits=self._limits,
            )
            acl = self._folder / "acl"
            acl.write_text(broker_config.mosquitto_acl())
            acl.chmod(0o600)
        else:
            text = broker_config.iotcore_config(host=self.host, port=self.port, limits=self._limits)
        self._config_path().write_text(text)
        log_path = self._log_path()
        if log_path.exists() and log_path.stat().st_size > LOG_MAX_BYTES:
            log_path.replace(log_path.with_suffix(".log.1"))

    def _config_path(self) -> Path:
        return self._folder / ("mosquitto.conf" if self.kind is MOSQUITTO else "iotcore.toml")

    def _log_path(self) -> Path:
        return self._folder / f"{self.kind.name}.log"

    def _last_log_line(self) -> str:
        with suppress(OSError):
            lines = self._log_path().read_text(errors="replace").splitlines()
            return lines[-1][:300] if lines else ""
        return ""

    def _accepts(self) -> bool:
        if self.pid is None:
            return False  # somebody else may listen there
        try:
            with socket.create_connection((self.host, self.port), timeout=1):
                return True
        except OSError:
            return False


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE  # anything else the broker itself says better
    return True


def free_port(host: str) -> int:
    """A port that nobody listens on now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port

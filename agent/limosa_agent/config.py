"""`agent.toml`: every key, its unit and its default (agent 7.1). Unknown keys are refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from limosa_agent.config_path import path_of
from limosa_agent.errors import ConfigInvalid, InsecureLink
from limosa_agent.fetch.mirror_config import MirrorConfig
from limosa_agent.fetch.proxy import Proxy
from limosa_agent.health.config import HealthLimits
from limosa_agent.health.probe_config import ARGUMENTS_MAX, ProbeConfig, parse_probes
from limosa_agent.logs.config import LogConfig
from limosa_agent.serving.config import ServingConfig
from limosa_agent.serving.inference_config import InferenceConfig
from limosa_agent.update.config import UpdateConfig
from limosa_contracts.errors import InvalidField, InvalidJson
from limosa_contracts.fields import Fields
from limosa_contracts.names import LABEL_KEY, LABEL_VALUE

DEFAULT_PATH: Final = Path("/etc/limosa/agent.toml")
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The table `[limits]`."""

    outbox_max_bytes: int = 16 * 1024 * 1024  # weeks of windows; then the oldest are merged
    worker_memory_max_bytes: int = 2 * 1024**3  # a candidate above it fails its probation
    self_test_memory_bytes: int = 1024**3  # private memory of the self-test's child
    self_test_wall_s: float = 90.0  # of the self-test's child
    download_budget_bytes: int = 0  # per fetch, 0 is no limit
    download_bytes_per_day: int = 0  # of all models together, 0 is no limit
    disk_max_bytes: int = 0  # of all models together on this disk, 0 is no limit
    delta_memory_bytes: int = 256 * 1024**2  # that applying a delta may take, 0 for no deltas
    memory_for_standby: bool = True  # keep the previous version warm during probation

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        base = cls()
        limits = cls(
            outbox_max_bytes=fields.optional(
                "outbox_max_bytes", lambda n: fields.integer(n, low=65536), base.outbox_max_bytes
            ),
            worker_memory_max_bytes=fields.optional(
                "worker_memory_max_bytes", lambda n: fields.integer(n, low=1), base.worker_memory_max_bytes
            ),
            self_test_memory_bytes=fields.optional(
                "self_test_memory_bytes", lambda n: fields.integer(n, low=1), base.self_test_memory_bytes
            ),
            self_test_wall_s=fields.optional(
                "self_test_wall_s", lambda n: fields.number(n, low=1, high=3600), base.self_test_wall_s
            ),
            download_budget_bytes=fields.optional(
                "download_budget_bytes", lambda n: fields.integer(n, low=0), base.download_budget_bytes
            ),
            download_bytes_per_day=fields.optional(
                "download_bytes_per_day", lambda n: fields.integer(n, low=0), base.download_bytes_per_day
            ),
            disk_max_bytes=fields.optional(
                "disk_max_bytes", lambda n: fields.integer(n, low=0), base.disk_max_bytes
            ),
            delta_memory_bytes=fields.optional(
                "delta_memory_bytes", lambda n: fields.integer(n, low=0), base.delta_memory_bytes
            ),
            memory_for_standby=fields.optional("memory_for_standby", fields.boolean, True),
        )
        fields.refuse_rest()
        return limits


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """The whole file. Only `server` has no default."""

    server: str  # base URL of the fleet server, without a slash at the end
    state_dir: Path = Path("/var/lib/limosa")  # everything the agent keeps
    ca_file: Path | None = None  # CA of the server's certificate; the system's store if absent
    listen: str = "127.0.0.1:8080"  # inference endpoint; port 0 takes a free one; "" for none
    socket: Path | None = None  # inference endpoint as a Unix socket
    broker: str = ""  # host:port instead of the one told at enrolment, for a proxy or a bridge
    labels: dict[str, str] = field(default_factory=dict)  # what selectors of groups see
    profile: str = ""  # name of the device profile, for the choice of a variant
    identify: tuple[str, ...] = ()  # program that makes this device noticed, and its arguments
    poll_interval_s: float = 3600.0  # ask over HTTPS when MQTT was silent for so long (jittered)
    reconnect_min_s: float = 1.0  # first pause after a lost link
    reconnect_max_s: float = 900.0  # longest pause
    stable_after_s: float = 60.0  # a link that held so long starts again at the first pause
    ack_timeout_s: float = 30.0  # unacknowledged reports are sent again after this
    observe_every_s: float = 1.0  # how often the worker tells what it counted
    limits: Limits = field(default_factory=Limits)
    health: HealthLimits = field(default_factory=HealthLimits)
    update: UpdateConfig = field(default_factory=UpdateConfig)  # what holds updates back
    probes: tuple[ProbeConfig, ...] = ()  # what the operator asks about this device's health
    serving: ServingConfig = field(default_factory=ServingConfig)  # runtimes and their memory
    inference: InferenceConfig = field(default_factory=InferenceConfig)  # what the endpoint takes
    proxy: Proxy | None = None  # between this device and its fleet server
    mirror: MirrorConfig = field(default_factory=MirrorConfig)  # sticks that are looked for
    log: LogConfig = field(default_factory=LogConfig)  # what this agent writes down

    @property
    def control_socket(self) -> Path:
        return self.state_dir / "control.sock"

    @property
    def identity_dir(self) -> Path:
        return self.state_dir / "identity"

    @property
    def lock_dir(self) -> Path:
        """Where an application's lock holds every update back (agent 2.3)."""
        return self.update.lock_dir or self.state_dir / "hold.d"

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises ConfigInvalid, InsecureLink."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = (error.strerror or "") if isinstance(error, OSError) else str(error)
            raise ConfigInvalid(
                "the configuration cannot be read",
                where=str(path),
                why=why,
                hint='name it with --config; the least it needs is: server = "https://fleet.example"',
            ) from error
        return cls.parse(text, where=str(path))

    @classmethod
    def parse(cls, text: str, *, where: str = "agent.toml") -> Self:
        """Raises ConfigInvalid, InsecureLink."""
        import tomllib  # here, so that a process can forget it (limosa_agent.process)

        try:
            fields = Fields(tomllib.loads(text), where="")
            config = cls._read(fields)
            fields.refuse_rest()
        except tomllib.TOMLDecodeError as error:
            raise ConfigInvalid("the configuration is not TOML", where=where, why=str(error)) from error
        except (InvalidField, InvalidJson) as error:
            raise ConfigInvalid(
                error.what, where=f"{where}: {error.where}", why=error.why, hint=error.hint
            ) from error
        _check_server(config.server, where=where)
        split_address(config.listen, where=where)
        return config

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        base = cls(server="-")

        def seconds(name: str, default: float) -> float:
            return fields.optional(name, lambda n: fields.number(n, low=0.05, high=7 * 86400), default)

        def path(name: str) -> Path:
            return path_of(fields, name)

        labels: dict[str, str] = fields.optional("labels", lambda n: fields.text_map(n), base.labels)
        for key, value in labels.items():
            if not LABEL_KEY.fullmatch(key) or not LABEL_VALUE.fullmatch(value):
                raise InvalidField(f"label {key!r} = {value!r} is not valid", where="labels")
        health = fields.optional("health", lambda n: HealthLimits.parse(fields.fields(n)), base.health)
        return cls(
            server=fields.text("server", max_chars=1024).rstrip("/"),
            state_dir=fields.optional("state_dir", path, base.state_dir).absolute(),
            ca_file=fields.maybe("ca_file", path),
            listen=fields.optional("listen", lambda n: fields.text(n, empty=True), base.listen),
            socket=fields.maybe("socket", path),
            broker=fields.optional("broker", lambda n: fields.text(n, empty=True), ""),
            labels=labels,
            profile=fields.optional("profile", lambda n: fields.text(n, empty=True), ""),
            identify=fields.optional("identify", lambda n: _program(fields, n), base.identify),
            poll_interval_s=seconds("poll_interval_s", base.poll_interval_s),
            reconnect_min_s=seconds("reconnect_min_s", base.reconnect_min_s),
            reconnect_max_s=seconds("reconnect_max_s", base.reconnect_max_s),
            stable_after_s=seconds("stable_after_s", base.stable_after_s),
            ack_timeout_s=seconds("ack_timeout_s", base.ack_timeout_s),
            observe_every_s=seconds("observe_every_s", base.observe_every_s),
            health=health,
            probes=fields.optional(
                "probes", lambda n: parse_probes(fields, n, programs=health.probe_programs), ()
            ),
            limits=fields.optional("limits", lambda n: Limits.parse(fields.fields(n)), base.limits),
            serving=fields.optional("serving", lambda n: ServingConfig.parse(fields.fields(n)), base.serving),
            inference=fields.optional(
                "inference", lambda n: InferenceConfig.parse(fields.fields(n)), base.inference
            ),
            update=fields.optional("update", lambda n: UpdateConfig.parse(fields.fields(n)), base.update),
            proxy=fields.maybe("proxy", lambda n: Proxy.parse(fields.fields(n))),
            mirror=fields.optional("mirror", lambda n: MirrorConfig.parse(fields.fields(n)), base.mirror),
            log=fields.optional("log", lambda n: LogConfig.parse(fields.fields(n)), base.log),
        )


def _program(fields: Fields, name: str) -> tuple[str, ...]:
    words = fields.texts(name, max_items=ARGUMENTS_MAX)
    if words and (not words[0].startswith("/") or any("\0" in word for word in words)):
        raise fields.wrong(name, "a program's full path and its arguments are needed; no shell reads them")
    return words


def is_loopback(host: str) -> bool:
    return host in LOOPBACK or host.startswith("127.")


def split_address(text: str, *, where: str) -> tuple[str, int] | None:
    """(host, port) of `host:port`; None for "". Raises ConfigInvalid."""
    if not text:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ConfigInvalid(f"{text!r} is not an address", where=where, why="write host:port")
    return host.strip("[]"), int(port)


def _check_server(url: str, *, where: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigInvalid(
            f"server {url!r} is not a URL", where=f"{where}: server", why="write https://host[:port]"
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise InsecureLink("the server is to be reached without TLS", where=f"{where}: server", why=url)

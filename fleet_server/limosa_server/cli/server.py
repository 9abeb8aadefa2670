"""`limosa server run`"""

from __future__ import annotations

import logging
from pathlib import Path
from types import TracebackType
from typing import Final, TypeAlias

import click

from limosa_contracts.cli import command, json_option, progress
from limosa_contracts.errors import TransferError, Usage
from limosa_server.access.two_person_actions import ACTIONS
from limosa_server.cli.loading import no_collector
from limosa_server.retention.settings import RetentionSettings
from limosa_server.settings import ServerSettings

ExceptionInfo: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)
KEPT: Final = RetentionSettings()
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_LINE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@command(
    "run",
    examples=[
        "limosa server run --data ./fleet --dev  # on this machine only, without TLS",
        "limosa server run --data /var/lib/limosa-server --listen 0.0.0.0:8443 --public-url https://fleet.example:8443",
        "limosa server run --data /var/lib/limosa-server --database postgresql:///limosa?host=/run/postgresql",
    ],
)
@click.option(
    "--data", type=click.Path(path_type=Path), required=True, help="Folder of database, blobs and trust/."
)
@click.option(
    "--database", default="", metavar="URL", envvar="LIMOSA_DATABASE",
    help="A PostgreSQL database, as postgresql:///limosa?host=/run/postgresql; without it SQLite in DATA.",
)  # fmt: skip
@click.option(
    "--listen", default="127.0.0.1:8443", show_default=True, help="HOST:PORT; port 0 takes a free one."
)
@click.option(
    "--mqtt-port", default=8883, show_default=True, type=click.IntRange(0, 65535), help="Of the broker."
)
@click.option("--public-url", default="", help="What devices call this server, if not https://HOST:PORT.")
@click.option(
    "--broker", type=click.Choice(["auto", "mosquitto", "iotcore", "external"]), default="auto",
    show_default=True,
    help="The child broker; auto takes mosquitto if it is installed. external: one that runs by itself, "
    "with what `limosa server broker-config` wrote.",
)  # fmt: skip
@click.option("--mqtt-host", default="", help="Of an external broker; without it the host of --public-url.")
@click.option(
    "--behind-proxy", type=click.Choice(["plain", "nginx"]), default=None,
    help="A proxy on this machine ends TLS. To nginx files are handed over too (X-Accel-Redirect).",
)  # fmt: skip
@click.option(
    "--webhook-host", "webhook_hosts", multiple=True, metavar="HOST",
    help="Alerts may go to this host though its address is private; may be given again.",
)  # fmt: skip
@click.option(
    "--two-person", "two_person_actions", multiple=True, type=click.Choice(list(ACTIONS)),
    help="This is done when a second person asks for it too; may be given again.",
)  # fmt: skip
@click.option(
    "--keep-windows", type=click.FloatRange(1), metavar="DAYS", default=KEPT.windows_days, show_default=True,
    help="Telemetry windows as they came; after that their sums.",
)  # fmt: skip
@click.option(
    "--keep-device-days", type=click.FloatRange(1), metavar="DAYS", default=KEPT.device_days_days,
    show_default=True, help="Sums of one device's day; after that those of an hour of all devices.",
)  # fmt: skip
@click.option(
    "--keep-events", type=click.FloatRange(1), metavar="DAYS", default=KEPT.events_days, show_default=True,
    help="What devices reported of updates and of their health.",
)  # fmt: skip
@click.option("--dev", is_flag=True, help="Loopback without TLS. Signatures and tokens stay.")
@click.option("--log-level", type=click.Choice(LOG_LEVELS), default="warning", show_default=True)
@json_option
def run(
    data: Path,
    database: str,
    listen: str,
    mqtt_port: int,
    public_url: str,
    broker: str,
    mqtt_host: str,
    behind_proxy: str | None,
    webhook_hosts: tuple[str, ...],
    two_person_actions: tuple[str, ...],
    keep_windows: float,
    keep_device_days: float,
    keep_events: float,
    dev: bool,
    log_level: str,
    as_json: bool,
) -> None:
    """Run the fleet server: API, broker, ingest and controller in one process.

    When it answers it prints one line of JSON, with and without --json, which is about errors only.
    Its keys are made before by `limosa keys init`.
    """
    host, port = parse_listen(listen)
    settings = ServerSettings(
        data=data.absolute(),
        database_url=database,
        host=host,
        port=port,
        mqtt_port=mqtt_port,
        public_url=public_url.rstrip("/"),
        broker=broker,
        mqtt_host=mqtt_host,
        behind_proxy=behind_proxy or "",
        webhook_hosts=webhook_hosts,
        two_person=two_person_actions,
        retention=RetentionSettings(
            windows_days=keep_windows, device_days_days=keep_device_days, events_days=keep_events
        ),
        dev=dev,
    )
    shown = logging.StreamHandler()
    shown.setFormatter(LogLines(LOG_LINE))
    logging.basicConfig(level=log_level.upper(), handlers=[shown])
    if two_person_actions and "token.create" not in two_person_actions:
        progress("hint: one admin can make tokens for two persons; --two-person token.create ends that")
    with no_collector():
        from limosa_server.run import run_server

    run_server(settings)


class LogLines(logging.Formatter):
    """What passes by itself has no traceback here: an hour without a database logs it thousands of times."""

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802  # logging's name
        return str(ei[1]) if isinstance(ei[1], TransferError) else super().formatException(ei)

    def format(self, record: logging.LogRecord) -> str:
        """A connection that cannot be reset is thrown away by its pool: that is told, not where."""
        if record.name.startswith("sqlalchemy.pool") and record.exc_info and record.exc_info[1]:
            words = f"{record.getMessage()}: {record.exc_info[1]}"
            told = {**record.__dict__, "exc_info": None, "exc_text": None, "msg": words, "args": ()}
            return super().format(logging.makeLogRecord(told))
        return super().format(record)


def parse_listen(text: str) -> tuple[str, int]:
    """Raises Usage.

    >>> parse_listen("127.0.0.1:8443"), parse_listen("[::1]:0")
    (('127.0.0.1', 8443), ('::1', 0))
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or not host:
        raise Usage(f"{text[:80]!r} is not HOST:PORT", where="--listen", hint="for example 127.0.0.1:8443")
    return host.removeprefix("[").removesuffix("]"), int(port)

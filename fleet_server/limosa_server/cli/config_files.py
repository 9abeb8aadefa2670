"""`limosa server broker-config` and `limosa server nginx-config`."""

from __future__ import annotations

from pathlib import Path

import click

from limosa_contracts.cli import answer, command, json_option
from limosa_contracts.json_value import JsonObject
from limosa_server.cli.loading import no_collector
from limosa_server.cli.server import parse_listen
from limosa_server.deploy.nginx_config import Site
from limosa_server.settings import ServerSettings


@command(
    "broker-config",
    examples=[
        "limosa server broker-config --data /var/lib/limosa-server --listen 0.0.0.0:8883",
        "mosquitto -c /var/lib/limosa-server/broker/mosquitto.conf",
    ],
)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The server's folder.")
@click.option("--listen", default="0.0.0.0:8883", show_default=True, help="HOST:PORT of the broker.")
@click.option("--user", default="", help="mosquitto becomes this user when it is started as root.")
@json_option
def broker_config(data: Path, listen: str, user: str, as_json: bool) -> None:
    """Write mosquitto.conf, ACL, certificates it trusts and the list of the revoked to DATA/broker.

    For a mosquitto that is a service of its own; then run the server with --broker external. Run it again
    after a key of the device CA or of the server has changed: it overwrites what it wrote.
    """
    host, port = parse_listen(listen)
    settings = ServerSettings(data=data.absolute())
    with no_collector():
        from limosa_server.deploy.broker_files import write_broker_files

    written = write_broker_files(settings, host=host, port=port, user=user)
    said: JsonObject = {"config": str(written.config), "files": [str(path) for path in written.files]}
    text = [f"wrote {path}" for path in written.files]
    answer(said, as_json=as_json, text="\n".join([*text, "", f"next: mosquitto -c {written.config}"]))


@command(
    "nginx-config",
    examples=[
        "limosa server nginx-config --data /var/lib/limosa-server --public-url https://fleet.example "
        "--certificate /etc/ssl/fleet.crt --key /etc/ssl/private/fleet.key",
    ],
)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The server's folder.")
@click.option("--upstream", default="127.0.0.1:8443", show_default=True, help="HOST:PORT of the server.")
@click.option("--public-url", required=True, help="What devices call the server.")
@click.option("--certificate", type=click.Path(path_type=Path), required=True, help="PEM file, whole chain.")
@click.option("--key", type=click.Path(path_type=Path), required=True, help="PEM file.")
@click.option("--listen", default="443", show_default=True, help="Port, or ADDRESS:PORT, of nginx.")
@json_option
def nginx_config(
    data: Path, upstream: str, public_url: str, certificate: Path, key: Path, listen: str, as_json: bool
) -> None:
    """Print the site that nginx serves in front of the server: TLS, and the large files.

    Run the server with --behind-proxy nginx, and let nginx's user into the group of the server's.
    """
    host, port = parse_listen(upstream)
    settings = ServerSettings(
        data=data.absolute(), host=host, port=port, public_url=public_url.rstrip("/"), behind_proxy="nginx"
    )
    text = Site(
        settings=settings, certificate=certificate.absolute(), key=key.absolute(), listen=listen
    ).text()
    answer({"config": text}, as_json=as_json, text=text.rstrip("\n"))

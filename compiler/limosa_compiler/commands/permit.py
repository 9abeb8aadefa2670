"""`limosa permit`: a team lets devices go back to a version below the one they committed (trust 2.4)."""

from __future__ import annotations

import os
from pathlib import Path

import click

from limosa_compiler.commands.options import server_options, team_key_options
from limosa_compiler.trust.folders import write_durably
from limosa_compiler.trust.key_sources import open_key
from limosa_compiler.trust.offline_folder import team_key
from limosa_compiler.trust.server_client import FleetServer
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.cli import answer, command, json_option
from limosa_contracts.errors import Usage
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import ModelName, check_version
from limosa_contracts.permit import DowngradePermit
from limosa_contracts.signing_keys import Signs

PATH = "/api/v1/permits"


@command(
    "permit",
    examples=[
        "limosa permit vision/detector --from 3.0.0 --to 1.4.0 --offline keys --server https://fleet.example",
        "limosa permit vision/detector --from 3.0.0 --to 1.4.0 --key team.pem --output back.permit.json",
    ],
)
@click.argument("model")
@click.option("--from", "from_version", required=True, metavar="V", help="The version that devices run.")
@click.option("--to", "to_version", required=True, metavar="V", help="The version they may go back to.")
@click.option(
    "--offline", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The offline folder: holds the key of the team.",
)  # fmt: skip
@team_key_options
@server_options
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the permit there too.")
@json_option
def permit(
    model: str,
    from_version: str,
    to_version: str,
    offline: Path | None,
    key: str | None,
    public_key: Path | None,
    server: str | None,
    token: str | None,
    ca: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Sign a permit for one step back, from one version of MODEL to another.

    Devices refuse every release below the one they committed, unless the one they run lists it in
    may_return_to. A permit is the other way: it names both versions and allows this step alone. With
    --server it is handed to the devices when a rollout wants that step of them.
    """
    name = ModelName.parse(model)
    wanted = DowngradePermit(
        model=str(name), from_version=check_version(from_version), to_version=check_version(to_version)
    )
    if wanted.from_version == wanted.to_version:
        raise Usage("a permit names two versions", where="--to", why=f"both are {to_version}")
    signed = wanted.sign(_key(offline, key, public_key, name.team)).encode()
    envelope = parse_object(signed, what="permit", max_bytes=LIMITS.manifest_max_bytes)
    if output is not None:
        write_durably(output, signed)
    if server is not None:
        with FleetServer(url=server, token=token or "", ca=ca) as remote:
            remote.request(
                "PUT",
                PATH,
                content=encode_canonical({"permit": envelope}),
                headers={"Content-Type": "application/json"},
                expected=(200,),
            )
    said: dict[str, JsonValue] = {
        "model": str(name),
        "from": from_version,
        "to": to_version,
        "sent": server is not None,
        "permit": envelope,
    }
    answer(said, as_json=as_json, text=lambda: _text(wanted, sent=server is not None, output=output))


def _key(offline: Path | None, key: str | None, public_key: Path | None, team: str) -> Signs:
    if offline is not None and key is None:
        return team_key(offline, team, os.environ)
    return open_key(key, public_key, os.environ)


def _text(permit: DowngradePermit, *, sent: bool, output: Path | None) -> str:
    step = f"{permit.model} may go from {permit.from_version} back to {permit.to_version}"
    if sent:
        return f"{step}; start a rollout of {permit.to_version} with allow_downgrade"
    where = f" ({output})" if output else ""
    return f"{step}: signed{where}, not sent; --server sends it"

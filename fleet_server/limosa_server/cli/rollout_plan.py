"""`limosa rollout plan|start`"""

from __future__ import annotations

import tomllib
import uuid
from pathlib import Path

import click

from limosa_contracts.canonical import parse_object
from limosa_contracts.cli import answer, columns, command, json_option, printable
from limosa_contracts.duration import about_duration
from limosa_contracts.errors import InvalidField, SystemRefused, TransferError, Usage
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.cli.ladder import ladder
from limosa_server.client import Client, server_options

PATH = "/api/v1/rollouts"
TRIES = 3  # the same idempotency key: starting twice is impossible


@command(
    "plan",
    examples=[
        "limosa rollout plan rollout.toml",
        "limosa rollout plan rollout.toml --json > plan.json  # then: limosa rollout start --plan plan.json",
    ],
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@server_options
@json_option
def plan(file: Path, server: str | None, token: str | None, ca: str | None, as_json: bool) -> int:
    """Show what a rollout would do, and start nothing.

    Exit code 3 if it could not start.
    """
    spec = read_spec(file)
    with Client.of(server, token, ca) as client:
        planned = client.post(f"{PATH}/plan", spec.as_json())
    answer(planned, as_json=as_json, text=lambda: plan_text(planned))
    return 3 if planned.get("problems") else 0


@command(
    "start",
    examples=["limosa rollout start rollout.toml", "limosa rollout start --plan plan.json  # exactly that"],
)
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What `plan --json` printed; refused if the group has changed since.",
)
@server_options
@json_option
def start(
    file: Path | None,
    plan_file: Path | None,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Start a rollout."""
    if (file is None) == (plan_file is None):
        raise Usage("start one thing", where="limosa rollout start", why="give FILE or --plan")
    body = read_spec(file).as_json() if file is not None else _planned(plan_file)
    key = uuid.uuid4().hex
    with Client.of(server, token, ca) as client:
        for attempt in range(1, TRIES + 1):
            try:
                found = client.post(PATH, body, headers={"Idempotency-Key": key})
                break
            except TransferError:
                if attempt == TRIES:
                    raise
    answer(found, as_json=as_json, text=lambda: ladder(found))


def read_spec(file: Path) -> RolloutSpec:
    """A rollout file, TOML (or JSON by its name). Every error names the file and the field."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SystemRefused(
            "the rollout file cannot be read", where=str(file), why=error.strerror or ""
        ) from error
    if file.suffix == ".json":
        return RolloutSpec.parse(parse_object(data, what=str(file)), where=file.name)
    try:
        value = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidField("the file is not TOML", where=str(file), why=str(error)) from error
    return RolloutSpec.parse(value, where=file.name)


def _planned(file: Path | None) -> dict[str, JsonValue]:
    assert file is not None
    try:
        planned = parse_object(file.read_bytes(), what=str(file))
    except OSError as error:
        raise SystemRefused("the plan cannot be read", where=str(file), why=error.strerror or "") from error
    if planned.get("schema") != "limosa.plan/1":
        raise InvalidField(
            "this is not a plan", where=str(file), hint="limosa rollout plan FILE --json > plan.json"
        )
    spec = RolloutSpec.parse(planned.get("spec"), where=f"{file.name}: spec")
    return {
        **spec.as_json(),
        "plan": {"salt": planned.get("salt"), "fingerprint": planned.get("fingerprint")},
    }


def plan_text(planned: JsonObject) -> str:
    """The plan for people."""
    spec, waves, excluded, offline = (planned[name] for name in ("spec", "waves", "excluded", "offline"))
    assert isinstance(spec, dict)
    assert isinstance(waves, list)
    assert isinstance(excluded, dict)
    assert isinstance(offline, list)
    longest, size = planned["longest_s"], planned["bytes"]
    assert isinstance(longest, (int, float))
    assert isinstance(size, int)
    rows = []
    for wave, given in zip(waves, spec["waves"] if isinstance(spec["waves"], list) else [], strict=True):
        assert isinstance(wave, dict)
        assert isinstance(given, dict)
        devices = wave["devices"]
        assert isinstance(devices, list)
        named = sorted(str(one) for one in devices)  # the plan's own order is drawn by its salt
        some = ", ".join(named[:4]) + (" …" if len(named) > 4 else "")
        rows.append([str(wave["name"]), str(len(devices)), str(given["bake"]), str(given["then"]), some])
    target = spec.get("group") or f"selector {spec.get('selector')}"
    lines = [
        f"{spec['release']} → {printable(str(target))}",
        columns(["WAVE", "DEVICES", "BAKE", "THEN", "WHO"], rows),
        f"left out    {len(excluded)}",
        *(f"  {device}: {printable(str(why))}" for device, why in list(excluded.items())[:20]),
        f"offline     {len(offline)}"
        + (f": {', '.join(str(one) for one in offline[:8])}" if offline else ""),
        f"at most     {about_duration(longest)}, and the wait for devices that are away",
        f"to move     {size / 1e6:.1f} MB",
        f"sees        {planned['judge']}",
    ]
    for name, colour in (("warnings", "yellow"), ("problems", "red")):
        found = planned[name]
        assert isinstance(found, list)
        lines += [click.style(f"{name[:-1]}: {printable(str(one))}", fg=colour) for one in found]
    return "\n".join(lines)

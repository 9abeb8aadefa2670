"""`limosa rollout plan|start`"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import click

from limosa_contracts.canonical import parse_object
from limosa_contracts.cli import answer, command, json_option, printable, progress
from limosa_contracts.errors import InvalidField, SystemRefused, TransferError, Usage
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.cli.ladder import ladder
from limosa_server.client import Client, server_options
from limosa_server.core.planning.document import as_html, as_markdown
from limosa_server.core.planning.plan import SCHEMA
from limosa_server.core.planning.rollout_file import parse_rollout_toml
from limosa_server.core.planning.text import plan_text

PATH = "/api/v1/rollouts"
TRIES = 3  # the same idempotency key: starting twice is impossible


despite_option = click.option(
    "--despite",
    type=click.IntRange(min=1),
    multiple=True,
    metavar="ROLLOUT",
    help="Set aside what this earlier rollout found bad; recorded with your name. Repeatable.",
)


@command(
    "plan",
    examples=[
        "limosa rollout plan rollout.toml",
        "limosa rollout plan rollout.toml --document plan.md  # or plan.html, to hand to others",
        "limosa rollout plan rollout.toml --json > plan.json  # then: limosa rollout start --plan plan.json",
    ],
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--document",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write timeline, risks and how it is undone to this .md or .html file.",
)
@despite_option
@server_options
@json_option
def plan(
    file: Path,
    document: Path | None,
    despite: tuple[int, ...],
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> int:
    """Show what a rollout would do, and start nothing.

    Exit code 3 if it could not start.
    """
    make = _maker(document) if document is not None else None
    body = {**read_spec(file).as_json(), **({"despite": list(despite)} if despite else {})}
    with Client.of(server, token, ca) as client:
        planned = client.post(f"{PATH}/plan", body)
    if document is not None and make is not None:
        _write(document, make(planned, at=time.time()))
        progress(f"wrote {document}")
    answer(planned, as_json=as_json, text=lambda: _coloured(planned))
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
@click.option("--draft", is_flag=True, help="Write it down only; `limosa rollout submit` asks for it.")
@despite_option
@server_options
@json_option
def start(
    file: Path | None,
    plan_file: Path | None,
    draft: bool,
    despite: tuple[int, ...],
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Start a rollout."""
    if (file is None) == (plan_file is None):
        raise Usage("start one thing", where="limosa rollout start", why="give FILE or --plan")
    body = read_spec(file).as_json() if file is not None else _planned(plan_file)
    if despite:
        if plan_file is not None:
            raise Usage("a plan holds its own --despite", where="--despite", hint="plan again with --despite")
        body = {**body, "despite": list(despite)}
    if draft:
        body = {**body, "draft": True}
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
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidField("the file is not TOML", where=str(file), why=str(error)) from error
    return RolloutSpec.parse(parse_rollout_toml(text, where=str(file)), where=file.name)


def _planned(file: Path | None) -> dict[str, JsonValue]:
    assert file is not None
    try:
        planned = parse_object(file.read_bytes(), what=str(file))
    except OSError as error:
        raise SystemRefused("the plan cannot be read", where=str(file), why=error.strerror or "") from error
    if planned.get("schema") != SCHEMA:
        raise InvalidField(
            "this is not a plan", where=str(file), hint="limosa rollout plan FILE --json > plan.json"
        )
    spec = RolloutSpec.parse(planned.get("spec"), where=f"{file.name}: spec")
    despite = planned.get("despite")
    return {
        **spec.as_json(),
        **({"despite": despite} if despite else {}),
        "plan": {"salt": planned.get("salt"), "fingerprint": planned.get("fingerprint")},
    }


def _coloured(planned: JsonObject) -> str:
    """As wide as the terminal is, within 80 to 120 columns."""
    lines = plan_text(planned, width=shutil.get_terminal_size(fallback=(100, 24)).columns).split("\n")
    colour: str | None = None
    result = []
    for line in lines:
        if not line.startswith("  "):
            colour = {"warning:": "yellow", "problem:": "red"}.get(line.partition(" ")[0])
        result.append(click.style(printable(line), fg=colour) if colour else printable(line))
    return "\n".join(result)


def _maker(file: Path) -> Callable[..., str]:
    forms: dict[str, Callable[..., str]] = {".md": as_markdown, ".html": as_html}
    if file.suffix not in forms:
        raise Usage(
            f"{file.name[:80]!r} is neither .md nor .html", where="--document", hint="--document plan.md"
        )
    return forms[file.suffix]


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SystemRefused(
            "the document cannot be written", where=str(file), why=error.strerror or ""
        ) from error

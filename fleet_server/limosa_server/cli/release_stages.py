"""`limosa release promote|archive|restore|retract|gates|set-gate|collect`"""

from __future__ import annotations

import click

from limosa_contracts.cli import answer, columns, command, json_option, progress
from limosa_contracts.errors import Usage
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_server.cli.release_paths import PATH, path_of
from limosa_server.cli.wording import so_many
from limosa_server.client import Client, server_options


@command(
    "promote",
    examples=[
        "limosa release promote demo/motion@1.2.0 --reason 'three weeks on site 3'",
        "limosa release promote demo/motion@1.2.0 --to https://prod.example:8443 --to-token lmp_…",
    ],
)
@click.argument("release")
@click.option("--reason", default="", help="Why; it stays in the record.")
@click.option("--override", is_flag=True, help="In spite of its gate; needs the role approver.")
@click.option("--to", "to", default=None, help="Copy it, as its team signed it, to the server at this URL.")
@click.option("--to-token", default=None, help="API token (publisher) of that server. [LIMOSA_TO_TOKEN]")
@click.option("--to-ca", default=None, help="File with the CA of that server's certificate. [LIMOSA_TO_CA]")
@server_options
@json_option
def promote(
    release: str,
    reason: str,
    override: bool,
    to: str | None,
    to_token: str | None,
    to_ca: str | None,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Move a release to production, or with --to to another server, byte for byte."""
    if to is not None:
        from limosa_server.cli.release_copy import copy_release

        if override:
            raise Usage("a copy passes no gate", where="--override", hint="promote it on that server")
        copied = copy_release(release, (server, token, ca), (to, to_token, to_ca), say=progress)
        answer(copied, as_json=as_json, text=lambda: f"{release} is on {to}, in {copied['stage']}")
        return
    if not reason:
        raise Usage("why?", where="--reason", hint="it stays in the record of the release")
    with Client.of(server, token, ca) as client:
        done = client.post(f"{path_of(release)}/promote", {"reason": reason, "override": override})
    answer(done, as_json=as_json, text=lambda: "\n".join([f"{release} is in production", *gate_lines(done)]))


@command("archive", examples=["limosa release archive demo/motion@1.0.0 --reason 'nobody runs it'"])
@click.argument("release")
@click.option("--reason", required=True, help="Why; it stays in the record.")
@server_options
@json_option
def archive(
    release: str, reason: str, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Take a release out of use; its bytes go when nothing needs them, its record stays."""
    with Client.of(server, token, ca) as client:
        done = client.post(f"{path_of(release)}/archive", {"reason": reason})
    answer(done, as_json=as_json, text=f"{release} is archived")


@command("restore", examples=["limosa release restore demo/motion@1.0.0 --reason 'site 3 needs it'"])
@click.argument("release")
@click.option("--reason", required=True, help="Why; it stays in the record.")
@server_options
@json_option
def restore(
    release: str, reason: str, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Bring a release back from the archive to staging."""
    with Client.of(server, token, ca) as client:
        done = client.post(f"{path_of(release)}/restore", {"reason": reason})
    answer(done, as_json=as_json, text=f"{release} is in staging")


@command(
    "retract",
    examples=[
        "limosa release retract demo/motion@2.0.0 --reason 'wrong labels in training'",
        "limosa release retract demo/motion@2.0.0 --reason 'wrong labels' --rollback",
    ],
)
@click.argument("release")
@click.option("--reason", required=True, help="Why; whoever asks for the release is told.")
@click.option("--rollback", is_flag=True, help="Devices of its open rollouts go back too.")
@server_options
@json_option
def retract(
    release: str,
    reason: str,
    rollback: bool,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Offer a release to nobody any more; who runs it is listed, the record stays."""
    with Client.of(server, token, ca) as client:
        done = client.post(f"{path_of(release)}/retract", {"reason": reason, "rollback": rollback})
    answer(done, as_json=as_json, text=lambda: _retracted(release, done))


@command("gates", examples=["limosa release gates"])
@server_options
@json_option
def gates(server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Show what production asks of a release, by team and model."""
    with Client.of(server, token, ca) as client:
        found = client.get(f"{PATH}/gates")
    answer(found, as_json=as_json, text=lambda: _gates(found))


@command(
    "set-gate",
    examples=[
        "limosa release set-gate vision --rule completed_rollout --rule evidence",
        "limosa release set-gate vision/detector --rule devices=20,for=48h --rule no_trouble",
        "limosa release set-gate vision --clear",
    ],
)
@click.argument("scope")
@click.option(
    "--rule", "rules", multiple=True, help="completed_rollout, evidence, no_trouble, devices=N,for=T."
)
@click.option("--clear", is_flag=True, help="No rules of its own: those of the team, or of *, hold.")
@server_options
@json_option
def set_gate(
    scope: str,
    rules: tuple[str, ...],
    clear: bool,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Set what production asks of releases of *, a team, or a team/model."""
    if clear == bool(rules):
        raise Usage("either rules, or --clear", where="--rule")
    body: JsonObject = {"scope": scope, "rules": None if clear else [parse_rule(rule) for rule in rules]}
    with Client.of(server, token, ca) as client:
        found = client.put(f"{PATH}/gates", body)
    answer(found, as_json=as_json, text=lambda: _gates(found))


@command("collect", examples=["limosa release collect --dry-run", "limosa release collect"])
@click.option("--dry-run", is_flag=True, help="Say what would go, and touch nothing.")
@server_options
@json_option
def collect(dry_run: bool, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Throw away bytes that no release, device, open rollout or push needs."""
    with Client.of(server, token, ca) as client:
        done = client.post(f"{PATH}/collect", {"dry_run": dry_run})
    answer(done, as_json=as_json, text=lambda: _collected(done))


def parse_rule(text: str) -> JsonObject:
    """The server checks it.

    >>> parse_rule("devices=20,for=48h"), parse_rule("evidence")
    ({'rule': 'devices', 'devices': 20, 'for': '48h'}, {'rule': 'evidence'})
    """
    rule: dict[str, JsonValue] = {}
    for place, part in enumerate(text.split(",")):
        name, equals, value = part.strip().partition("=")
        if place == 0:
            rule["rule"] = name
        if equals:
            rule[name] = int(value) if value.isascii() and value.isdigit() else value
    return rule


def gate_lines(found: JsonObject) -> list[str]:
    gate = found.get("gate")
    rows = [one for one in gate if isinstance(one, dict)] if isinstance(gate, list) else []
    return [f"  {'✔' if one['passed'] else '✘'} {one['rule']}: {one['words']}" for one in rows]


def _retracted(release: str, done: JsonObject) -> str:
    ended, going_on = done["rollouts_canceled"], done["rollouts_going_on"]
    running = done["running_on"]
    assert isinstance(ended, list)
    assert isinstance(going_on, list)
    assert isinstance(running, list)
    lines = [f"{release} is retracted: nobody is offered it any more"]
    if ended:
        lines.append("rollouts ended: " + ", ".join(str(one) for one in ended))
    if going_on:
        lines.append("rollouts already on their way out: " + ", ".join(str(one) for one in going_on))
    lines.append(f"{so_many(int(str(done['devices'])))} run it" + (":" if running else ""))
    lines += [f"  {device}" for device in running]
    if running:
        lines.append("they keep it until a rollout brings them another version")
    return "\n".join(lines)


def _gates(found: JsonObject) -> str:
    scopes = found["gates"]
    assert isinstance(scopes, dict)
    rows = []
    for scope, rules in sorted(scopes.items()):
        words = (
            [_rule_text(rule) for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []
        )
        rows.append([str(scope), "; ".join(words) or "nothing"])
    return columns(["SCOPE", "PRODUCTION ASKS FOR"], rows)


def _rule_text(rule: JsonObject) -> str:
    rest = ",".join(f"{key}={value}" for key, value in sorted(rule.items()) if key != "rule")
    return f"{rule['rule']}" + (f" ({rest})" if rest else "")


def _collected(done: JsonObject) -> str:
    would = "would go" if done["dry_run"] else "gone"
    releases, kept = done["releases"], done["kept"]
    assert isinstance(releases, list)
    assert isinstance(kept, dict)
    lines = [f"{would}: {done['blobs']} blobs, {done['tags']} tags, {done['freed_bytes']} bytes"]
    lines += [f"  {one}: its bytes; the record stays" for one in releases]
    lines += [f"kept {name}: {why}" for name, why in sorted(kept.items())]
    return "\n".join(lines)

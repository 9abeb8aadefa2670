"""`limosa rollout status|list|pause|resume|cancel|explain`"""

from __future__ import annotations

import itertools
import time

import click

from limosa_contracts.cli import answer, columns, command, json_option, printable
from limosa_contracts.duration import parse_duration
from limosa_contracts.errors import TimedOut, TransferError, Usage
from limosa_contracts.json_value import JsonObject
from limosa_server.cli.decisions_text import last_comparison, replayed
from limosa_server.cli.ladder import ENDED, ladder, one_line, state, verdict
from limosa_server.cli.rollout_number import ROLLOUT
from limosa_server.cli.times import second
from limosa_server.client import Client, server_options

PATH = "/api/v1/rollouts"
POLL_S = 1.0  # how often --watch asks


@command("list", examples=["limosa rollout list", "limosa rollout list --status RUNNING --status PAUSED"])
@click.option("--status", multiple=True, help="Only in this state; repeatable.")
@click.option("--model", default="", help="Only of this team/model.")
@server_options
@json_option
def list_rollouts(
    status: tuple[str, ...], model: str, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """List rollouts, newest first."""
    with Client.of(server, token, ca) as client:
        found = list(client.every(PATH, status=[one.upper() for one in status], model=model))
    answer(
        {"items": list(found)},
        as_json=as_json,
        text=lambda: columns(
            ["ID", "RELEASE", "TARGET", "STATUS", "DEVICES", "REASON"],
            [
                [
                    str(one["id"]),
                    str(one["release"]),
                    str(one["target"]),
                    str(one["status"]),
                    f"{one['executed']}/{one['devices']}",
                    str(one["reason"]),
                ]
                for one in found
            ],
        ),
    )


@command(
    "status",
    examples=[
        "limosa rollout status 7",
        "limosa rollout status 7 --watch --timeout 30m  # until it has ended; exit 0, 3 or 7",
    ],
)
@click.argument("rollout", type=ROLLOUT)
@click.option("--watch", is_flag=True, help="Follow it to its end; a line only when something changed.")
@click.option("--timeout", default="", metavar="TIME", help="With --watch: give up after this long (exit 7).")
@server_options
@json_option
def status(
    rollout: int,
    watch: bool,
    timeout: str,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> int:
    """Say how a rollout goes; its exit code is the verdict.

    0: completed, or still under way. 3: it ended in any other way. 7: --timeout was over.
    """
    allowed = parse_duration(timeout, where="--timeout") if timeout else float("inf")
    with Client.of(server, token, ca) as client:
        found = client.get(f"{PATH}/{rollout}")
        if watch:
            found = _watch(client, rollout, found, allowed=allowed, as_json=as_json)
    if not (watch and as_json):
        answer(found, as_json=as_json, text=lambda: ladder(found))
    return verdict(str(found["status"]))


def _watch(client: Client, rollout: int, found: JsonObject, *, allowed: float, as_json: bool) -> JsonObject:
    """Follows to the end; a server that restarts meanwhile is asked again."""
    deadline = time.monotonic() + allowed
    shown = ""
    while True:
        line = one_line(found)
        if line != shown:
            answer(found, as_json=as_json, text=line)
            shown = line
        if found["status"] in ENDED:
            return found
        if time.monotonic() >= deadline:
            raise TimedOut(
                f"rollout {rollout} is {found['status']}", where="--timeout", why=str(found["reason"])
            )
        time.sleep(min(POLL_S, max(0.0, deadline - time.monotonic())))
        try:
            found = client.get(f"{PATH}/{rollout}")
        except TransferError:
            if time.monotonic() >= deadline:
                raise


def action(
    name: str,
    rollout: int,
    body: JsonObject,
    options: tuple[str | None, str | None, str | None],
    as_json: bool,
) -> None:
    with Client.of(*options) as client:
        found = client.post(f"{PATH}/{rollout}/{name}", body)
    answer(found, as_json=as_json, text=lambda: ladder(found))


@command("pause", examples=["limosa rollout pause 7 --remark 'support is on the phone'"])
@click.argument("rollout", type=ROLLOUT)
@click.option("--remark", default="", help="Why; people will read it.")
@server_options
@json_option
def pause(
    rollout: int, remark: str, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Offer the release to no further device."""
    action("pause", rollout, {"remark": remark}, (server, token, ca), as_json)


@command("resume", examples=["limosa rollout resume 7"])
@click.argument("rollout", type=ROLLOUT)
@click.option("--remark", default="", help="Why; people will read it.")
@server_options
@json_option
def resume(
    rollout: int, remark: str, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Go on with a paused rollout.

    What had stopped it (failures, too little data) is thereby accepted, under your name.
    """
    action("resume", rollout, {"remark": remark}, (server, token, ca), as_json)


@command("cancel", examples=["limosa rollout cancel 7", "limosa rollout cancel 7 --rollback"])
@click.argument("rollout", type=ROLLOUT)
@click.option("--rollback", is_flag=True, help="Devices that have committed go back too.")
@click.option("--let-finish", is_flag=True, help="Devices that are at it may finish; nobody else begins.")
@click.option("--remark", default="", help="Why; people will read it.")
@server_options
@json_option
def cancel(
    rollout: int,
    rollback: bool,
    let_finish: bool,
    remark: str,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """End a rollout.

    Devices that have not finished stay with what they run.
    """
    if rollback and let_finish:
        raise Usage("a device cannot finish and go back", where="--let-finish", why="--rollback is given too")
    body: JsonObject = {"remark": remark, "rollback": rollback, "let_finish": let_finish}
    action("cancel", rollout, body, (server, token, ca), as_json)


@command("explain", examples=["limosa rollout explain 7", "limosa rollout explain 7 --json"])
@click.argument("rollout", type=ROLLOUT)
@server_options
@json_option
def explain(rollout: int, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Say why a rollout is where it is.

    Every decision with its time, its verdict and its sentence, made once more from its record; --json has
    the numbers it was made on.
    """
    with Client.of(server, token, ca) as client:
        found = client.get(f"{PATH}/{rollout}")
        decisions = list(client.every(f"{PATH}/{rollout}/explain"))
        failed = list(
            client.every(
                f"{PATH}/{rollout}/executions", status=["FAILED", "ROLLED_BACK", "REJECTED", "TIMED_OUT"]
            )
        )
    answer(
        {"rollout": found, "decisions": list(decisions), "failed": list(failed)},
        as_json=as_json,
        text=lambda: explained(found, decisions, failed),
    )


def explained(found: JsonObject, decisions: list[JsonObject], failed: list[JsonObject]) -> str:
    """The ladder, each decision with its time, what a replay says, and what failed on which device."""
    lines = [ladder(found), ""]
    width = max((len(str(one["verdict"])) for one in decisions), default=0)
    # What ends a wave and with it the rollout is two decisions, in the same words.
    told = [
        f"{second(one['at'])}  {one['verdict']!s:{width}}  {printable(str(one['sentence']))}"
        for one in decisions
    ]
    lines += [line for line, _ in itertools.groupby(told)]
    lines += [*last_comparison(decisions), "", *replayed(decisions)]
    if failed:
        lines.append("")
    lines += [
        f"{one['device']}  {state(str(one['state']))}  {printable(str(one['reason'] or one['reason_code']))}"
        for one in failed
    ]
    return "\n".join(lines)

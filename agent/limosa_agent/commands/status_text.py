"""`limosa-agent status` for people: one line per thing that can be wrong, the models below. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import click

from limosa_agent.commands.hold import held_text
from limosa_contracts.cli import columns, printable
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject

DAY_S: Final = 86400.0
EXPIRES_SOON_S: Final = 2 * DAY_S
DISK_LOW_BYTES: Final = 256 * 2**20
OUTBOX_FULL: Final = 0.9  # of its bytes
SETTLED: Final = ("", "IDLE", "COMMITTED")
WRONG: Final = ("REJECTED", "FELL_BACK", "FALLING_BACK")
CLOCKS: Final = {
    "none": "not to be believed: set it",
    "rtc": "the device's own",
    "ntp": "set from the network",
}
WHY_MAX_CHARS: Final = 100
LATEST: Final = 253_402_300_799.0  # the last second that a date can name
COLOURS: Final = {"✓": "green", "!": "yellow", "✗": "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`mark`: ✓ well, ! look at it when there is time, ✗ wrong now."""

    mark: str
    name: str
    says: str


def status_text(value: JsonObject, *, now: float) -> str:
    """`value` is the answer to `status`; `now` is in Unix seconds."""
    status = Fields(value, where="status")
    lines = list(safe_lines(status)) if status.has("safe_mode") else list(whole_lines(status, now=now))
    width = max(len(line.name) for line in lines)
    head = f"device {_or(status, 'device', 'unknown')}   limosa {_or(status, 'agent', '?')}"
    up_s = now - status.number("started_at")
    text = [f"{head}   up {span(up_s)}" if up_s >= 0 else head]
    for line in lines:
        mark = click.style(line.mark, fg=COLOURS[line.mark])
        text.append(f"{mark} {line.name.ljust(width)}  {printable(line.says)}")
    if status.optional("holds", status.raw, None) or status.optional("locks", status.raw, None):
        text += [
            f"{click.style('!', fg='yellow')} {'held'.ljust(width)}  {line}"
            for line in held_text(value).split("\n")
        ]
    rows = [_row(Fields(item, where=place)) for place, item in status.items("models")]
    if not rows:
        return "\n".join([*text, "", "no model yet: a rollout brings one"])
    return "\n".join([*text, "", columns(["", "MODEL", "SERVES", "WANTED", "PHASE", "ROLLOUT", "WHY"], rows)])


def safe_lines(status: Fields) -> Iterator[Line]:
    trouble = status.fields("safe_mode")
    yield Line(mark="✗", name="agent", says="only serves what is good; no link, no updates, no reports")
    yield Line(mark="✗", name="because", says=trouble.text("message", max_chars=8192, empty=True))
    if hint := trouble.text("hint", max_chars=8192, empty=True):
        yield Line(mark="!", name="do", says=hint)
    yield _serving(status)


def whole_lines(status: Fields, *, now: float) -> Iterator[Line]:
    yield _serving(status)
    if status.optional("decommissioned", status.raw, None) is not None:
        yield _taken_out(status.fields("decommissioned"))
    if status.optional("failing", status.raw, None):
        failing = ", ".join(status.texts("failing"))
        yield Line(mark="✗", name="health", says=f"{failing}; limosa-agent health says more")
    yield _mqtt(status)
    yield _reports(status)
    yield _desired(status, now=now)
    expires = status.maybe("certificate_expires_at", status.number)
    if expires is not None:
        yield _until("certificate", expires, now=now, over="it is over: let the agent reach the server")
    clock = status.text("clock")
    yield Line(
        mark="✗" if clock == "none" else "✓",
        name="clock",
        says=CLOCKS.get(clock, clock),
    )
    free = status.integer("disk_free_bytes")
    yield Line(mark="✓" if free >= DISK_LOW_BYTES else "✗", name="disk", says=f"{size(free)} free")


def _serving(status: Fields) -> Line:
    models = [Fields(item, where=place) for place, item in status.items("models")]
    silent = [
        one.text("model")
        for one in models
        if not one.has("serving") and one.has("wanted") and not _beside(one)
    ]
    said = [_or(status, "listen", "no TCP address"), f"worker generation {status.integer('generation')}"]
    if lost := status.integer("requests_lost"):
        said.append(f"{lost} requests lost in crashes")
    if silent:
        said.append(f"nothing answers for {', '.join(silent)}")
    dead = not list(status.items("workers"))
    if dead:
        said.append("no worker lives")
    mark = "✗" if dead or silent else "!" if lost else "✓"
    return Line(mark=mark, name="serving", says=", ".join(said))


def _taken_out(said: Fields) -> Line:
    on = datetime.fromtimestamp(min(said.number("at", low=0), LATEST), UTC)
    reason = said.optional("reason", lambda n: said.text(n, max_chars=1024, empty=True), "")
    says = f"taken out for good on {on:%Y-%m-%d}{f': {reason}' if reason else ''}"
    return Line(mark="!", name="fleet", says=f"{says}; models go on; limosa-agent uninstall takes all away")


def _mqtt(status: Fields) -> Line:
    for_s = span(status.number("mqtt_for_s"))
    if status.text("mqtt") == "up":
        return Line(mark="✓", name="mqtt", says=f"up for {for_s}")
    why = _or(status, "mqtt_why", "connecting")
    return Line(mark="✗", name="mqtt", says=f"down for {for_s}: {why}; https is tried meanwhile")


def _reports(status: Fields) -> Line:
    outbox = status.fields("outbox")
    rows, taken, most = (outbox.integer(name) for name in ("rows", "bytes", "max_bytes"))
    said = f"{rows} wait, {size(taken)} of {size(most)}" if rows else "all told"
    if outbox.boolean("full_of_verdicts"):
        return Line(mark="✗", name="reports", says=f"{said}; no update begins before verdicts are told")
    if status.boolean("reports_unheard"):
        return Line(
            mark="!", name="reports", says=f"{said}; the broker takes them, the server does not answer"
        )
    return Line(mark="!" if taken > OUTBOX_FULL * most else "✓", name="reports", says=said)


def _desired(status: Fields, *, now: float) -> Line:
    desired, refused = status.fields("desired"), status.object("refused_desired")
    if not desired.has("expires_at"):
        line = Line(mark="!", name="desired", says="none yet: the server has not said what to run")
    elif desired.boolean("expired"):
        when = date(desired.number("expires_at"))
        line = Line(
            mark="✗", name="desired", says=f"expired {when}: nothing new is installed, what runs goes on"
        )
    else:
        line = _until("desired", desired.number("expires_at"), now=now, over="expired")
    if not refused:
        return line
    told = ", ".join(f"{count} × {code}" for code, count in sorted(refused.items()))
    mark = line.mark if line.mark == "✗" else "!"
    return Line(mark=mark, name="desired", says=f"{line.says}; refused: {told}")


def _until(name: str, at: float, *, now: float, over: str) -> Line:
    """What ends at `at`: an error when it is over, worth a look shortly before."""
    if at <= now:
        return Line(mark="✗", name=name, says=f"until {date(at)}: {over}")
    return Line(mark="✓" if at - now > EXPIRES_SOON_S else "!", name=name, says=f"good until {date(at)}")


def _row(model: Fields) -> list[str]:
    phase = _or(model, "phase", "")
    why = ": ".join(part for part in (_or(model, "reason", ""), _or(model, "message", "")) if part)
    mark = "✗" if phase in WRONG else " " if phase in SETTLED else "▶"
    if not model.has("serving") and model.has("wanted") and not _beside(model):
        mark = "✗"
    shown = [_or(model, name, "-") for name in ("serving", "wanted")]
    return [
        mark,
        model.text("model"),
        *shown,
        phase or "-",
        _or(model, "rollout", "-"),
        why[:WHY_MAX_CHARS] or "-",
    ]


def _beside(model: Fields) -> bool:
    """A challenger answers nobody, and need not."""
    return model.text("model").endswith("(shadow)")


def _or(fields: Fields, name: str, otherwise: str) -> str:
    """The field as text; `otherwise` where it is missing, null or empty."""
    found = fields.raw(name) if fields.has(name) else None
    return otherwise if found is None or found == "" else str(found)


def span(seconds: float) -> str:
    """
    >>> [span(s) for s in (0.4, 75, 7300, 200_000)]
    ['0 s', '1 min', '2 h 1 min', '2 d 7 h']
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < DAY_S:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def size(count: int) -> str:
    """
    >>> [size(n) for n in (900, 2048, 5 << 30)]
    ['900 B', '2.0 KiB', '5.0 GiB']
    """
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{int(value)} B" if unit == "B" else f"{value:.1f} {unit}"


def date(at: float) -> str:
    return f"{datetime.fromtimestamp(min(max(at, 0.0), LATEST), UTC):%Y-%m-%d %H:%M} UTC"

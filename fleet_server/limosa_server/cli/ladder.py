"""A rollout as a ladder of waves: mark, word and colour; counts; why, and what happens next."""

from __future__ import annotations

import click

from limosa_contracts.cli import printable
from limosa_contracts.json_value import JsonObject, JsonValue, objects

GOOD = frozenset({"COMPLETED", "SUCCEEDED"})
BAD = frozenset({"FAILED", "INVALID", "APPROVAL_DENIED", "ROLLBACK_INCOMPLETE"})
ENDED = frozenset(
    {
        "COMPLETED",
        "FAILED",
        "INVALID",
        "APPROVAL_DENIED",
        "CANCELED",
        "ROLLED_BACK",
        "ROLLBACK_INCOMPLETE",
        "SUPERSEDED",
    }
)
_ASKS_WHY = BAD | {"ROLLED_BACK", "ROLLING_BACK"}
_MARKS = {
    "PENDING": ("·", "white"),
    "IN_PROGRESS": ("▶", "cyan"),
    "BAKING": ("◔", "cyan"),
    "ANALYZING": ("◑", "cyan"),
    "SUCCEEDED": ("✔", "green"),
    "INCONCLUSIVE": ("?", "yellow"),
    "FAILED": ("✘", "red"),
    "RUNNING": ("▶", "cyan"),
    "VALIDATING": ("▶", "cyan"),
    "DRAFT": ("·", "white"),
    "WAITING_FOR_APPROVAL": ("?", "yellow"),
    "APPROVAL_DENIED": ("✘", "red"),
    "SCHEDULED": ("◷", "cyan"),
    "PAUSED": ("‖", "yellow"),
    "CANCELING": ("◂", "yellow"),
    "CANCELED": ("■", "yellow"),
    "ROLLING_BACK": ("↩", "yellow"),
    "ROLLED_BACK": ("↩", "red"),
    "ROLLBACK_INCOMPLETE": ("✘", "red"),
    "COMPLETED": ("✔", "green"),
    "SUPERSEDED": ("■", "white"),
    "INVALID": ("✘", "red"),
}


def state(word: str) -> str:
    """Mark, word and colour: none of the three stands alone."""
    mark, colour = _MARKS.get(word, ("·", "white"))
    return click.style(f"{mark} {word}", fg=colour)


def told(wave: JsonObject, rollout: JsonObject) -> bool:
    """Whether the rollout's own sentence holds the wave's."""
    return str(wave.get("reason") or "") in str(rollout["reason"])


def ladder(rollout: JsonObject) -> str:
    """Several lines; nothing in them steers a terminal."""
    pause = f" ({rollout['pause']})" if rollout.get("pause") else ""
    lines = [
        f"rollout {rollout['id']}  {rollout['release']} → {printable(str(rollout['target']))}",
        f"{state(str(rollout['status']))}{pause}  {printable(str(rollout['reason']))}",
    ]
    waves = rollout["waves"]
    assert isinstance(waves, list)
    shown = [one for one in waves if isinstance(one, dict) and (one["devices"] or not one["tail"])]
    width = max((len(str(one["name"])) for one in shown), default=0)
    for one in shown:
        lines.append(_rung(one, width))
        if one["status"] in ("FAILED", "INCONCLUSIVE") and not told(one, rollout):
            lines.append(f"  {' ' * width}  {printable(str(one.get('reason') or ''))}".rstrip())
    for name, what in (("unreachable", "out of reach now"), ("stragglers", "to follow on coming back")):
        if rollout.get(name):
            lines.append(f"  {rollout[name]} {'device' if rollout[name] == 1 else 'devices'}: {what}")
    if missed := _missed(rollout):
        lines.append(f"  waits for {missed}")
    returning = rollout.get("returning")
    if isinstance(returning, dict) and returning:
        lines.append("  on the way back: " + ", ".join(f"{n} {word}" for word, n in returning.items()))
    finding = rollout.get("finding")
    if isinstance(finding, dict):
        lines.append(f"  {printable(str(finding['sentence']))}")
    if rollout.get("failing"):
        lines.append(
            click.style(f"  the controller cannot go on: {printable(str(rollout['failing']))}", fg="red")
        )
    if rollout.get("next"):
        lines.append(f"next: {rollout['next']}")
    if rollout["status"] in _ASKS_WHY or rollout.get("pause") == "gate_failed":
        lines.append(f"why: limosa rollout explain {rollout['id']}")
    return "\n".join(lines)


def _missed(rollout: JsonObject) -> str:
    """The devices of the wave that cannot answer now, when they are the last ones."""
    return ", ".join(f"{one['device']} ({one['link']})" for one in objects(rollout.get("waits_for")))


def _rung(wave: dict[str, JsonValue], width: int) -> str:
    counts = wave["counts"]
    assert isinstance(counts, dict)
    details = ", ".join(f"{n} {word.lower().replace('_', ' ')}" for word, n in counts.items())
    name = str(wave["name"]).ljust(width)
    through = f"{wave['executed']}/{wave['devices']}"
    return f"  {name}  {state(str(wave['status']))}  {through}  {details}".rstrip()


def one_line(rollout: JsonObject) -> str:
    """What `--watch` prints when something changed."""
    waves = rollout["waves"]
    assert isinstance(waves, list)
    now = next((one for one in waves if isinstance(one, dict) and one["status"] != "SUCCEEDED"), None)
    wave = (
        f"  wave {now['name']} {str(now['status']).lower()} {now['executed']}/{now['devices']}" if now else ""
    )
    return f"{state(str(rollout['status']))}{wave}  {printable(str(rollout['reason']))}"


def verdict(status: str) -> int:
    """The exit code that `status` and `--watch` end with: 3 where the answer is no."""
    return 3 if status in ENDED and status not in GOOD else 0

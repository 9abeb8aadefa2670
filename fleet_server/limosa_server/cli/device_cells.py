"""What one device is in a column of a table, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from limosa_contracts.cli import printable
from limosa_contracts.errors import Usage
from limosa_contracts.json_value import JsonObject, objects
from limosa_contracts.phases import Phase
from limosa_server.cli.times import minute
from limosa_server.core.device_state import ONLINE, standing


def columns_of(text: str) -> list[str]:
    """Raises Usage.

    >>> columns_of("device,label.site")
    ['device', 'label.site']
    """
    names = [name.strip() for name in text.split(",") if name.strip()] or list(USUAL)
    for name in names:
        if name not in CELLS and not name.startswith(LABEL):
            raise Usage(
                f"there is no column {name[:80]!r}", where="--columns", why=f"{', '.join(CELLS)}, label.NAME"
            )
    return names


def cell(device: JsonObject, name: str) -> str:
    """One device's text in one column."""
    if name in CELLS:
        return printable(CELLS[name](device))
    labels = device["labels"]
    found = labels.get(name.removeprefix(LABEL), "") if isinstance(labels, Mapping) else ""
    return printable(str(found))


def link(device: JsonObject) -> str:
    return standing(str(device["state"]), bool(device["online"]))


def seen(device: JsonObject) -> str:
    """A device whose link is up is seen now, however long it has had nothing to say."""
    return "now" if link(device) == ONLINE else minute(device["last_seen"])


def runs(device: JsonObject) -> str:
    """What answers on it; a phase of its last update that is not of that version is said to be so."""
    return ", ".join(map(_run, objects(device["models"]))) or "-"


def _run(model: JsonObject) -> str:
    phase = str(model["phase"])
    came_to_nothing = phase in (Phase.REJECTED.value, Phase.FELL_BACK.value)
    return f"{model['model']}@{model['active'] or '-'} {'last update ' if came_to_nothing else ''}{phase}"


def groups(device: JsonObject) -> str:
    said = device.get("groups")
    return ", ".join(map(str, said)) if isinstance(said, list) and said else "-"


def labels_of(device: JsonObject) -> str:
    labels = device["labels"]
    return ",".join(f"{key}={value}" for key, value in labels.items()) if isinstance(labels, Mapping) else ""


LABEL: Final = "label."
CELLS: Final[Mapping[str, Callable[[JsonObject], str]]] = {
    "device": lambda one: str(one["id"]),
    "link": link,
    "runs": runs,
    "seen": seen,
    "labels": labels_of,
    "serial": lambda one: str(one["serial"]),
    "agent": lambda one: str(one["agent"]),
    "profile": lambda one: str(one["profile"]),
    "enrolled": lambda one: minute(one["enrolled_at"]),
}
USUAL: Final = ("device", "link", "runs", "seen", "labels")
TITLES: Final = {"seen": "LAST SEEN"}

"""What each row of an imported CSV asks for, read and checked one by one. No database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from limosa_contracts.errors import InvalidField
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import LABEL_KEY, LABEL_VALUE, NAME
from limosa_server.fleet.bulk_export import COLUMNS, LABEL
from limosa_server.fleet.csv_cells import Line
from limosa_server.mqtt.broker_config import SERVER_NAME

GROUPS: Final = "groups"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    row: int  # in the file; the headings are row 1
    column: str
    device: str
    why: str

    def as_json(self) -> dict[str, JsonValue]:
        return {"row": self.row, "column": self.column, "device": self.device, "why": self.why}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """`labels`: key -> value, "" takes the operator's away. `groups`: the static groups it shall be in,
    None where the file has no such column."""

    row: int
    device: str
    labels: dict[str, str]
    groups: tuple[str, ...] | None
    serial: str


def check_headings(headings: Sequence[str]) -> None:
    """Raises InvalidField: a misspelt heading would otherwise change nothing, silently."""
    if "device" not in headings:
        raise InvalidField("the heading 'device' is missing", where="row 1")
    for heading in headings:
        if heading in COLUMNS:
            continue
        if not heading.startswith(LABEL):
            hint = f"labels are {LABEL}NAME; known: {', '.join(COLUMNS)}"
            raise InvalidField(f"unknown heading {heading[:80]!r}", where="row 1", hint=hint)
        if not LABEL_KEY.fullmatch(heading.removeprefix(LABEL)):
            raise InvalidField(f"{heading[:80]!r} is no label's name", where="row 1")


def read(lines: Iterable[Line]) -> tuple[list[Wish], list[RowError]]:
    """What is right of it, and what is wrong."""
    wishes: list[Wish] = []
    errors: list[RowError] = []
    seen: dict[str, int] = {}
    for line in lines:
        wrong = list(_wrong(line))
        device = line.cells["device"]
        if not wrong and device in seen:
            wrong = [("device", f"it is in row {seen[device]} already")]
        errors += [
            RowError(row=line.number, column=column, device=device[:80], why=why) for column, why in wrong
        ]
        if wrong:
            continue
        seen[device] = line.number
        groups = line.cells.get(GROUPS)
        wishes.append(
            Wish(
                row=line.number,
                device=device,
                labels={key.removeprefix(LABEL): v for key, v in line.cells.items() if key.startswith(LABEL)},
                groups=None if groups is None else tuple(sorted(set(groups.split()))),
                serial=line.cells.get("serial", ""),
            )
        )
    return wishes, errors


def _wrong(line: Line) -> Iterable[tuple[str, str]]:
    device = line.cells["device"]
    if not NAME.fullmatch(device) or device == SERVER_NAME:
        yield "device", f"{device[:80]!r} cannot be a device's name"
    labels = {key: value for key, value in line.cells.items() if key.startswith(LABEL)}
    for column, value in labels.items():
        if not LABEL_VALUE.fullmatch(value):
            yield column, f"{value[:80]!r} is no label's value"
    if sum(1 for value in labels.values() if value) > LIMITS.labels_max:
        yield "", f"a device has {LIMITS.labels_max} labels at most"
    for group in line.cells.get(GROUPS, "").split():
        if not NAME.fullmatch(group):
            yield GROUPS, f"{group[:80]!r} is no group's name"
    if len(line.cells.get("serial", "")) > 128:
        yield "serial", "at most 128 characters"

"""`[inputs.NAME]` of a recipe: what it says about one input of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

COLUMNS_MAX: Final = 4096  # of a table that make one input
_VALUES_MAX: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class InputNotes:
    """`low` and `high` bound valid values. `shape` fixes dynamic axes, -1 stays free.

    `value` makes the input a constant: a number, a text, or a (nested) list of one kind.
    `state_from` names the output of the step before that feeds this input. `columns` of a table make
    the input [N, columns].
    """

    channels: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    shape: tuple[int, ...] | None = None
    value: JsonValue = None
    state_from: str = ""
    columns: tuple[str, ...] = ()

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField."""
        notes = cls(
            channels=fields.optional("channels", lambda n: fields.texts(n, max_items=1024), ()),
            low=fields.maybe("low", fields.number),
            high=fields.maybe("high", fields.number),
            shape=fields.maybe("shape", lambda n: _shape(fields, n)),
            value=fields.maybe("value", lambda n: _value(fields, n)),
            state_from=fields.optional("state_from", lambda n: fields.text(n, max_chars=256), ""),
            columns=fields.optional("columns", lambda n: fields.texts(n, max_items=COLUMNS_MAX), ()),
        )
        fields.refuse_rest()
        if notes.value is not None and (notes.state_from or notes.columns or notes.channels):
            raise fields.wrong("value", "a constant has no channels, no columns and no state")
        if notes.state_from and notes.columns:
            raise fields.wrong("state_from", "a state is not read from a table")
        return notes

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "channels": list(self.channels),
            "low": self.low,
            "high": self.high,
            "shape": None if self.shape is None else list(self.shape),
            "value": self.value,
            "state_from": self.state_from or None,
            "columns": list(self.columns),
        }


def parse_inputs(fields: Fields, name: str) -> Mapping[str, InputNotes]:
    """The table of all inputs, by name. Raises InvalidField."""
    tables = fields.fields(name)
    return {key: InputNotes.parse(tables.fields(key)) for key in fields.object(name)}


def _shape(fields: Fields, name: str) -> tuple[int, ...]:
    shape = fields.integers(name, low=-1, max_items=16)
    if 0 in shape:
        raise fields.wrong(name, "an axis has at least one element; -1 leaves it free")
    return shape


def _value(fields: Fields, name: str) -> JsonValue:
    value = fields.raw(name)
    flat: list[JsonValue] = [value]
    kinds: set[type] = set()
    count = 0
    while flat:
        item = flat.pop()
        if isinstance(item, (list, tuple)):
            flat.extend(item)
            continue
        count += 1
        if not isinstance(item, (bool, int, float, str)) or count > _VALUES_MAX:
            raise fields.wrong(name, f"numbers or texts are needed, at most {_VALUES_MAX}")
        kinds.add(float if isinstance(item, int) and not isinstance(item, bool) else type(item))
    if len(kinds) != 1:
        raise fields.wrong(name, "numbers, texts or truth values, all of one kind")
    return value

"""`[data]` of a recipe: where calibration and evaluation data come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeAlias

from limosa_compiler.external.entry_point import PREFIX, EntryPoint
from limosa_contracts.fields import Fields

DEFAULT_LABEL: Final = "label"
SLICES_MAX: Final = 16
Source: TypeAlias = Path | EntryPoint
"""Both have a `name` for errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataNotes:
    """`slices` are columns or arrays of the evaluation data, by whose values it is also measured."""

    calibration: Source
    evaluation: Source
    label: str = DEFAULT_LABEL
    slices: tuple[str, ...] = ()
    missing_values: bool = False  # NaN in evaluation rows is meant, and goes into the model

    @classmethod
    def parse(cls, fields: Fields, *, folder: Path) -> Self:
        """Paths are relative to `folder`. Raises InvalidField."""
        notes = cls(
            calibration=_source(fields, "calibration", folder),
            evaluation=_source(fields, "evaluation", folder),
            label=fields.optional("label", lambda n: fields.text(n, max_chars=256), DEFAULT_LABEL),
            slices=fields.optional("slices", lambda n: fields.texts(n, max_items=SLICES_MAX), ()),
            missing_values=fields.optional("missing_values", fields.boolean, False),
        )
        fields.refuse_rest()
        if len(set(notes.slices)) != len(notes.slices):
            raise fields.wrong("slices", "name each column once")
        return notes


def _source(fields: Fields, name: str, folder: Path) -> Source:
    text = fields.text(name)
    if text.startswith(PREFIX):
        return EntryPoint.parse(text, where=fields.at(name))
    return folder / text

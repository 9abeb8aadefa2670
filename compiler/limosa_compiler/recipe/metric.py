"""`[metric]` of a recipe: how good answers are, and on which rows that is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from limosa_compiler.external.entry_point import PREFIX, EntryPoint
from limosa_contracts.fields import Fields

DEFAULT_METRIC: Final = "accuracy"
DEFAULT_TUNE_SHARE: Final = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricNotes:
    """`name` is looked up when the build begins; `output` "" is the model's first.

    `tune_share` of the evaluation rows is what the choice is made on; the rest is holdout.
    """

    name: str = DEFAULT_METRIC
    output: str = ""
    tune_share: float = DEFAULT_TUNE_SHARE

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField."""
        notes = cls(
            name=fields.optional("name", lambda n: fields.text(n, max_chars=256), DEFAULT_METRIC),
            output=fields.optional("output", lambda n: fields.text(n, max_chars=256), ""),
            tune_share=fields.optional(
                "tune_share", lambda n: fields.number(n, low=0.1, high=0.9), DEFAULT_TUNE_SHARE
            ),
        )
        fields.refuse_rest()
        if notes.name.startswith(PREFIX):
            EntryPoint.parse(notes.name, where=fields.at("name"))
        return notes

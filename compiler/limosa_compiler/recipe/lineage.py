"""`[lineage]` of a recipe: where the model and its data come from, as texts or as places to read it from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.names import DIGEST

AUTO: Final = "auto"
KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
TEXTS_MAX: Final = 32
TEXT_MAX_CHARS: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageNotes:
    """`texts` go into the artifact as they are; the places are read by `lineage.resolved`."""

    texts: Mapping[str, str] = field(default_factory=dict)
    dataset: Path | None = None  # a file or folder; its sha256 becomes the text
    dvc: Path | None = None  # a .dvc file; what it tracks becomes the text
    checkout: Path | None = None  # a folder in a git checkout; its commit becomes the text

    @classmethod
    def parse(cls, fields: Fields, *, folder: Path) -> Self:
        """The table `lineage` of a recipe, if it has one; its paths are relative to `folder`."""
        nothing: dict[str, str] = {}
        given = fields.optional(
            "lineage", lambda n: fields.text_map(n, max_items=TEXTS_MAX, max_chars=TEXT_MAX_CHARS), nothing
        )
        for key, text in given.items():
            if not text or not KEY.fullmatch(key):
                raise InvalidField(
                    f"field {key[:80]!r} is not valid",
                    where=fields.at(f"lineage.{key[:80]}"),
                    why="a key is a word of letters, digits and _.-, and its text is not empty",
                )
        places = {
            key: folder / text
            for key, text in given.items()
            if key == "dvc" or (key == "dataset" and not DIGEST.fullmatch(text))
        }
        auto = given.get("commit") == AUTO
        return cls(
            texts={
                key: text
                for key, text in given.items()
                if key not in places and not (key == "commit" and auto)
            },
            dataset=places.get("dataset"),
            dvc=places.get("dvc"),
            checkout=folder if auto else None,
        )

    def with_texts(self, more: Mapping[str, str]) -> Self:
        """What a registry says of the model; the recipe's own words go before it."""
        return replace(self, texts=dict(sorted({**more, **self.texts}.items())))

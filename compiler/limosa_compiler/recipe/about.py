"""`[about]` of a recipe: what people are told of a model, and what goes into its ModelPack descriptor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

DESCRIPTOR_TEXTS: Final = ("title", "description", "vendor", "family", "docURL", "sourceURL", "revision")
DESCRIPTOR_LISTS: Final = ("authors", "licenses", "datasetsURL")
CARD_TEXTS: Final = ("intended_use", "limits", "training_data", "contact")
"""In the model card and the bill of materials only."""


def parse_about(fields: Fields) -> dict[str, JsonValue]:
    """Raises InvalidField."""
    about: dict[str, JsonValue] = {}
    for name in (*DESCRIPTOR_TEXTS, *CARD_TEXTS):
        if (text := fields.maybe(name, fields.text)) is not None:
            about[name] = text
    for name in DESCRIPTOR_LISTS:
        if (texts := fields.maybe(name, fields.texts)) is not None:
            about[name] = list(texts)
    fields.refuse_rest()
    return about


def descriptor_of(about: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The part that ModelPack knows."""
    return {key: value for key, value in about.items() if key not in CARD_TEXTS}


def text_of(about: Mapping[str, JsonValue], name: str) -> str:
    """One of the texts, "" where the recipe says nothing."""
    value = about.get(name, "")
    return value if isinstance(value, str) else ""


def texts_of(about: Mapping[str, JsonValue], name: str) -> tuple[str, ...]:
    """One of the lists."""
    value = about.get(name, [])
    return tuple(str(item) for item in value) if isinstance(value, list) else ()

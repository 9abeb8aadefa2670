"""A path as people write it into agent.toml."""

from __future__ import annotations

from pathlib import Path

from limosa_contracts.fields import Fields


def path_of(fields: Fields, name: str) -> Path:
    """`~` stands for a home folder. Raises InvalidField."""
    text = fields.text(name)
    if "\0" in text:
        raise fields.wrong(name, "a path holds no NUL")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise fields.wrong(name, f"there is no such user: {text[:80]!r}") from error

"""The argument ROLLOUT: the number that a rollout was given when it was made."""

from __future__ import annotations

from typing import Any, Final

import click


class RolloutNumber(click.IntRange):
    """A whole number from 1; what else is given is refused in words that say where numbers are found."""

    name = "rollout"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).strip()
        if not (text.isascii() and text.isdecimal() and len(text) < 19 and int(text) > 0):
            self.fail(f"{text[:80]!r} is not a rollout's number, as 7: see limosa rollout list", param, ctx)
        return int(text)


ROLLOUT: Final = RolloutNumber(min=1)

"""What somebody may have meant."""

from __future__ import annotations

from collections.abc import Sequence


def did_you_mean(name: str, known: Sequence[str], *, otherwise: str) -> str:
    """A hint with the nearest of the known names, else `otherwise`.

    >>> did_you_mean("hal", ["hall", "roof"], otherwise="limosa group list")
    "did you mean 'hall'?"
    """
    from difflib import get_close_matches  # for mistakes only: not each start of an agent loads it

    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise

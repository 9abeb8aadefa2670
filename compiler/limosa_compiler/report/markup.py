"""HTML and SVG as text in which everything that is not markup is escaped.

Names of models, labels and layers are somebody else's: they reach a page only through `tag`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Final, TypeAlias

_VOID: Final = frozenset({"br", "hr", "meta", "col"})
# What XML forbids, and what turns the direction of the text around it.
_UNSHOWABLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


class Markup(str):
    """Text that is markup already. Made by `tag` and `joined` only."""

    __slots__ = ()


Child: TypeAlias = "Markup | str | None"
Attribute: TypeAlias = "str | int | float | bool | None"


def text(value: str) -> Markup:
    """
    >>> text('<script>&"')
    '&lt;script&gt;&amp;&quot;'
    """
    return Markup(html.escape(_UNSHOWABLE.sub("\ufffd", value)))


def joined(children: Iterable[Child], between: str = "") -> Markup:
    """Children one after the other; plain text is escaped, None is nothing."""
    parts = [child if isinstance(child, Markup) else text(child) for child in children if child is not None]
    return Markup(text(between).join(parts))


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """An element. `_` in an attribute's name is a hyphen, one at its end is left out (`class_`).

    >>> tag("a", "x < y", href="#top", class_="far")
    '<a href="#top" class="far">x &lt; y</a>'
    """
    said = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{text(_plain(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{said}>")
    return Markup(f"<{name}{said}>{joined(children)}</{name}>")


def _plain(value: str | int | float | bool) -> str:
    """Numbers without noise: coordinates to two digits.

    >>> _plain(10.0), _plain(1 / 3)
    ('10', '0.33')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)

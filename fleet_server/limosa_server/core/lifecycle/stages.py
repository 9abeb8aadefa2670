"""Stages of a release: staging, production, archived; one table of moves (server 2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from limosa_contracts.errors import Conflict


class Stage(Enum):
    STAGING = "staging"
    """Published; what its gate asks for is not shown yet."""
    PRODUCTION = "production"
    """It has proven itself: later releases may return to it."""
    ARCHIVED = "archived"
    """Nobody is to start it any more; its bytes go when nothing needs them."""


MOVES: Final[Mapping[Stage, frozenset[Stage]]] = {
    Stage.STAGING: frozenset({Stage.PRODUCTION, Stage.ARCHIVED}),
    Stage.PRODUCTION: frozenset({Stage.ARCHIVED}),
    Stage.ARCHIVED: frozenset({Stage.STAGING}),
}
"""What is archived comes back through staging, and so through the gate again."""


def check_move(before: Stage, after: Stage, *, name: str, delisted: bool, retracted: bool) -> None:
    """Raises Conflict with the reason."""
    if after not in MOVES[before]:
        allowed = ", ".join(sorted(stage.value for stage in MOVES[before]))
        raise Conflict(f"{name} is in {before.value}", where="stage", why=f"from there it goes to {allowed}")
    if after is Stage.ARCHIVED:
        return
    if retracted:
        raise Conflict(f"{name} was retracted", where="stage", hint="publish a corrected version")
    if delisted:
        raise Conflict(
            f"the team of {name} does not list it any more",
            where="stage",
            why="no device would install it",
            hint="the team publishes it again",
        )

"""Who has agreed to a rollout, and who may (rollouts 2, 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from limosa_contracts.rollout.approval import Approval
from limosa_server.core.errors import ApprovalRefused
from limosa_server.core.rollout import Rollout, RolloutStatus

DENIED: Final = "denied by "  # how the reason of a rollout that somebody denied begins


def person_of(actor: str) -> str:
    """Who stands behind an actor: people have several tokens, under one name.

    >>> person_of("token k3v9 alice"), person_of("alice")
    ('alice', 'alice')
    """
    kind, _, rest = actor.partition(" ")
    return (rest.partition(" ")[2] if kind == "token" else "") or actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One person's last word."""

    actor: str
    approves: bool
    remark: str = ""
    at: float = 0.0

    @property
    def sentence(self) -> str:
        said = "approved by " if self.approves else DENIED
        return f"{said}{self.actor}" + (f": {self.remark}" if self.remark else "")


def check_vote(rollout: Rollout, vote: Vote) -> None:
    """Raises ApprovalRefused where this person may not say this now."""
    where = f"rollout {rollout.id}"
    if rollout.status is not RolloutStatus.WAITING_FOR_APPROVAL:
        raise ApprovalRefused(f"it does not wait for approval: it is {rollout.status.value}", where=where)
    wanted = rollout.spec.approval or Approval()
    if vote.approves and wanted.four_eyes and person_of(vote.actor) == person_of(rollout.created_by):
        raise ApprovalRefused(
            f"{vote.actor} made this rollout, so somebody else must agree",
            where=where,
            why="approval.four_eyes",
        )
    if wanted.remark and not vote.remark:
        raise ApprovalRefused("a remark is needed", where="remark", why="approval.remark")


def missing(rollout: Rollout, votes: Sequence[Vote]) -> int:
    """How many people must still agree. An author's own voice does not count under four eyes."""
    wanted = rollout.spec.approval
    if wanted is None:
        return 0
    who = {person_of(vote.actor) for vote in votes if vote.approves}
    if wanted.four_eyes:
        who.discard(person_of(rollout.created_by))
    return max(0, wanted.approvers - len(who))


def waits_for(people: int) -> str:
    """
    >>> waits_for(0), waits_for(1), waits_for(2)
    ('enough have agreed', 'one person must agree', '2 people must agree')
    """
    if people == 0:
        return "enough have agreed"
    return "one person must agree" if people == 1 else f"{people} people must agree"


def denial(votes: Sequence[Vote]) -> Vote | None:
    """The first who said no."""
    return min(
        (vote for vote in votes if not vote.approves), key=lambda vote: (vote.at, vote.actor), default=None
    )

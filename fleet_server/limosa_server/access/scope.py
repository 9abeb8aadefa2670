"""What a token is bound to: a team, a group, both or neither (trust 6.4).

A team owns models: a token of team `vision` sees and changes `vision/…` only. A group holds devices: a
token of group `lab` sees and changes those only, and starts rollouts on that group only. What is outside
is answered as if it were not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, true
from sqlmodel import col, select

from limosa_contracts.errors import NotAuthorised, NotFound
from limosa_server.store.transaction import Transaction
from limosa_server.tables.groups import Membership

TEAM: Final = "team"
GROUP: Final = "group"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """ "" is not bound."""

    team: str = ""
    group: str = ""

    @property
    def bound(self) -> frozenset[str]:
        """In which ways it is bound."""
        return frozenset(name for name in (TEAM, GROUP) if getattr(self, name))

    def sees_team(self, team: str) -> bool:
        return not self.team or self.team == team

    def sees_model(self, model: str) -> bool:
        """`model` is "team/model"."""
        return self.sees_team(model.partition("/")[0])

    def sees_group(self, group: str) -> bool:
        return not self.group or self.group == group

    def sees_rollout(self, *, model: str, target: str) -> bool:
        """`target` as a rollout's row has it: the name of a group, or "selector …", which is no one group."""
        return self.sees_model(model) and (not self.group or target == self.group)

    def sees_device(self, tx: Transaction, device: str) -> bool:
        return not self.group or tx.get(Membership, (self.group, device)) is not None

    def within(self, other: Scope) -> bool:
        """Whether whoever has `other` may hand this out: nobody gives more than they have."""
        return other.team in ("", self.team) and other.group in ("", self.group)

    def models(self, column: Any) -> ColumnElement[bool]:
        """A condition on a column of "team/model" texts."""
        return col(column).startswith(f"{self.team}/", autoescape=True) if self.team else true()

    def devices(self, column: Any) -> ColumnElement[bool]:
        """A condition on a column of device ids."""
        if not self.group:
            return true()
        return col(column).in_(select(Membership.device).where(Membership.group == self.group))

    def rollouts(self, model: Any, target: Any) -> ColumnElement[bool]:
        """A condition on the columns `model` and `target` of rollouts."""
        on_group = col(target) == self.group if self.group else true()
        return self.models(model) & on_group

    def groups(self, column: Any) -> ColumnElement[bool]:
        """A condition on a column of group names."""
        return col(column) == self.group if self.group else true()

    def check_team(self, team: str) -> None:
        """Raises NotAuthorised."""
        if not self.sees_team(team):
            raise NotAuthorised(
                f"this token is bound to team {self.team}",
                where=team,
                hint=f"limosa token create --team {team}",
            )

    def check_group(self, group: str) -> None:
        """`group` "" stands for what belongs to no single group. Raises NotAuthorised."""
        if not self.sees_group(group):
            raise NotAuthorised(
                f"this token is bound to group {self.group}",
                where=group or "group",
                why="" if group else "this is about no group, or about more than one",
                hint=f"limosa token create --group {group}" if group else "",
            )

    def check_rollout(self, *, model: str, target: str) -> None:
        """That a rollout of this model on this target stays within. Raises NotAuthorised."""
        self.check_team(model.partition("/")[0])
        if not self.sees_rollout(model=model, target=target):
            raise NotAuthorised(
                f"this token is bound to group {self.group}",
                where=target[:200],
                why="a rollout of it is on this group: it acts with its creator's scope",
                hint=f'group = "{self.group}" in the rollout file',
            )

    def check_device(self, tx: Transaction, device: str) -> None:
        """Raises NotFound, in the words of a device that is not there."""
        if not self.sees_device(tx, device):
            raise NotFound(f"there is no device {device[:64]!r}", where="device", hint="limosa device list")


WHOLE: Final = Scope()

"""The two-person rule: some actions are done when a second person asks for the same (a setting).

The first request is written down and refused; the same request by somebody else within a day is carried
out. Nobody confirms their own: neither with the same token, nor under the same name, nor with a token
that they have made, or that was made with one of those.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final, Protocol

from sqlalchemy import delete
from sqlmodel import col, select

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.json_value import JsonObject
from limosa_server.access import audit
from limosa_server.access.two_person_actions import ACTIONS, takes_two
from limosa_server.errors import SecondPersonNeeded
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.access import ApiToken
from limosa_server.tables.trust import SecondPersonAsk

VALID_S: Final = 86400.0  # then the first person asks anew
MAKERS_MAX: Final = 64  # tokens between one and the first of its line
NOTHING: Final[JsonObject] = {}


class Person(Protocol):
    """Who asks, by the token."""

    @property
    def token_id(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def actor(self) -> str: ...


def confirm(
    state: ServerState,
    caller: Person,
    *,
    action: str,
    object: str,  # noqa: A002  # as audit rows name it
    detail: JsonObject = NOTHING,
) -> str:
    """The name of whoever asked first; "" where one person is enough.

    Call it before the transaction that acts. `detail` is what both must have asked for, to the letter.
    Raises SecondPersonNeeded, after writing down that this one has asked.
    """
    if not takes_two(action, state.settings.two_person):
        return ""
    now = state.clock()
    sha256 = hashlib.sha256(encode_canonical(detail)).hexdigest()
    with state.store.transaction() as tx:
        tx.execute(
            delete(SecondPersonAsk).where(
                col(SecondPersonAsk.expires_at) < now, col(SecondPersonAsk.done_at).is_(None)
            )
        )
        asks = _open(tx, action=action, object=object, sha256=sha256)
        for ask in asks:
            if _is_valid(tx, ask) and are_two(tx, caller, token_id=ask.asked_by, name=ask.asked_name):
                ask.done_by, ask.done_at = caller.token_id, now
                tx.add(ask)
                return ask.asked_name
        if not any(ask.asked_by == caller.token_id for ask in asks):
            _ask(tx, caller, action=action, object=object, sha256=sha256, now=now)
            audit.record(
                tx, at=now, actor=caller.actor, action=f"{action}.ask", object=object, after=dict(detail)
            )
    raise SecondPersonNeeded(
        f"a second person must ask for this too: {ACTIONS.get(action, action)}",
        where=object,
        why=_why(caller, asks),
    )


def _why(caller: Person, asks: Sequence[SecondPersonAsk]) -> str:
    """What whoever believes to be the second needs to know: that they are not."""
    others = sorted({ask.asked_name for ask in asks if ask.asked_name != caller.name})
    if not others:
        return "the server is set to have two persons do it"
    who = " and ".join(others)
    return f"{who} asked before, but that token made yours, or yours made it, or it was revoked since"


def waiting(tx: Transaction, *, now: float) -> list[SecondPersonAsk]:
    """What was asked for by one person so far, the oldest first."""
    query = select(SecondPersonAsk).where(
        col(SecondPersonAsk.done_at).is_(None), SecondPersonAsk.expires_at >= now
    )
    return list(tx.exec(query.order_by(col(SecondPersonAsk.asked_at))))


def _open(tx: Transaction, *, action: str, object: str, sha256: str) -> list[SecondPersonAsk]:  # noqa: A002  # as above
    query = select(SecondPersonAsk).where(
        SecondPersonAsk.action == action,
        SecondPersonAsk.object == object,
        SecondPersonAsk.detail_sha256 == sha256,
        col(SecondPersonAsk.done_at).is_(None),
    )
    return list(tx.exec(query.order_by(col(SecondPersonAsk.asked_at))))


def are_two(tx: Transaction, caller: Person, *, token_id: str, name: str) -> bool:
    """Whether the caller is somebody else than who has that token, and not of their making, nor the other
    way; a puppet's puppet is nobody else either."""
    if caller.token_id == token_id or caller.name == name:
        return False
    return not _made_by(tx, caller.token_id, token_id, name) and not _made_by(
        tx, token_id, caller.token_id, caller.name
    )


def _is_valid(tx: Transaction, ask: SecondPersonAsk) -> bool:
    """What a token asked for that was revoked since, perhaps as stolen, was not asked for by a person."""
    row = tx.get(ApiToken, ask.asked_by)
    return row is not None and row.revoked_at is None


def _made_by(tx: Transaction, made: str, token_id: str, name: str) -> bool:
    """Whether this token, or one of this name, stands in the line of those that made `made`."""
    for _ in range(MAKERS_MAX):
        row = tx.get(ApiToken, made)
        words = row.created_by.split(" ", 2) if row is not None else []
        if len(words) != 3:
            return False  # the first of its line
        made = words[1]
        if made == token_id or words[2] == name:
            return True
    return True  # a line so long was not made by people


def _ask(
    tx: Transaction,
    caller: Person,
    *,
    action: str,
    object: str,  # noqa: A002  # as above
    sha256: str,
    now: float,
) -> None:
    tx.add(
        SecondPersonAsk(
            id=secrets.token_hex(6),
            action=action,
            object=object,
            detail_sha256=sha256,
            asked_by=caller.token_id,
            asked_name=caller.name,
            asked_at=now,
            expires_at=now + VALID_S,
        )
    )
    tx.announce("audit")

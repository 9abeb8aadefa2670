"""The director's epoch: begun anew after a disaster, outside the database (trust 4.3)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import select

from limosa_server.access import audit
from limosa_server.core.device_state import DeviceState
from limosa_server.files import write_atomic
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device

CONTROLLER = "controller"


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochState:
    """`seen`: the highest that a device of the fleet says it has obeyed."""

    epoch: int
    seen: int


def current(state: ServerState) -> EpochState:
    with state.store.read() as tx:
        return EpochState(epoch=state.trust.epoch(), seen=_seen(tx))


def bump(state: ServerState, *, actor: str, reason: str = "", confirmed_by: str = "") -> EpochState:
    """The next epoch, above every one that a device has seen. All documents are signed anew in it."""
    now = state.clock()
    with state.store.transaction() as tx:
        before, seen = state.trust.epoch(), _seen(tx)
        epoch = max(before, seen) + 1
        audit.record(
            tx,
            at=now,
            actor=actor,
            action="server.epoch",
            object="epoch",
            before=before,
            after={
                "epoch": epoch,
                **({"reason": reason} if reason else {}),
                **({"with": confirmed_by} if confirmed_by else {}),
            },
        )
        # Before the commit: an epoch that nobody noted is harmless, one that did not begin is not.
        write_atomic(state.trust.path / "epoch", f"{epoch}\n".encode())
        tx.announce(CONTROLLER)
    return EpochState(epoch=epoch, seen=seen)


def _seen(tx: Transaction) -> int:
    return (
        tx.exec(select(func.max(Device.desired_epoch)).where(Device.state == DeviceState.ACTIVE)).one() or 0
    )

"""What of a device a refused attempt may have been about (rollouts 3.9)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from sqlmodel import col, select

from limosa_contracts.canonical import encode_canonical
from limosa_server.core.retrying import Condition
from limosa_server.rollouts import pins
from limosa_server.store import Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.tables.devices import Device


def conditions_of(tx: Transaction, devices: Iterable[str], *, model: str, now: float) -> dict[str, Condition]:
    """Of each device, for a further attempt at a release of this model."""
    pinned = pins.standing(tx, model, now=now)
    return {
        device.id: _condition(device, pinned=device.id in pinned)
        for some in in_rounds(sorted(devices))
        for device in tx.exec(select(Device).where(col(Device.id).in_(some))).all()
    }


def _condition(device: Device, *, pinned: bool) -> Condition:
    """As it last said of itself."""
    free = device.resources.get("disk_free_bytes")
    about = encode_canonical([device.agent, device.capabilities])
    return Condition(
        disk_free_bytes=int(free) if isinstance(free, (int, float)) else None,
        about=hashlib.sha256(about).hexdigest()[:16],
        last_seen=device.last_seen or 0.0,
        pinned=pinned,
    )

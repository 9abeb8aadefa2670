"""What a device that was taken out for good is told when it asks: its last document, and nothing else.

It has no access any more, so the refusal of its assertion carries what the director signed (trust 4.2): a
device believes that, and not the word of a server.
"""

from __future__ import annotations

from typing import Final

from limosa_contracts.json_value import JsonObject
from limosa_server.access import audit
from limosa_server.core.device_state import DeviceState
from limosa_server.errors import DeviceRevoked
from limosa_server.state import ServerState
from limosa_server.tables.devices import Device
from limosa_server.tables.rollouts import DesiredDocument
from limosa_server.trust.director import Director

DESIRED: Final = "desired"
"""Name of the document in the refusal."""
FOR_GOOD: Final = "it was decommissioned, which is for good: its hardware may enrol under a new name"


def refusal(state: ServerState, device: str) -> DeviceRevoked:
    """The error for a device whose assertion held, with its document if it is decommissioned."""
    with state.store.read() as tx:
        row = tx.get(Device, device)
        gone = row is not None and row.state == DeviceState.DECOMMISSIONED
    evidence: JsonObject = {DESIRED: _document(state, device)} if gone else {}
    return DeviceRevoked(
        "this device is not one of the fleet any more",
        where=f"device {device}",
        hint=FOR_GOOD if gone else "",
        evidence=evidence,
    )


def _document(state: ServerState, device: str) -> str:
    """Signed anew where it has ended, or is of another key or epoch. That it was told stands in the audit."""
    now = state.clock()
    director = Director(key=lambda: state.director_key, epoch=state.trust.epoch)

    def holds(row: DesiredDocument | None) -> bool:
        return row is not None and row.expires > now and director.stands_by(row)

    with state.store.read() as tx:
        row, known = tx.get_one(Device, device), tx.get(DesiredDocument, device)
        if known is not None and holds(known) and _told(row, known):
            return known.envelope.decode()
    with state.store.transaction() as tx:
        row, known = tx.get_one(Device, device), tx.get(DesiredDocument, device)
        if known is None or not holds(known):
            known = director.farewell(tx, row, now=now)
        if not _told(row, known):
            audit.record(
                tx, at=now, actor=f"device {device}", action="device.farewell", object=f"device {device}"
            )
            row.desired_epoch, row.desired_counter = known.epoch, known.counter
            tx.add(row)
        return known.envelope.decode()


def _told(row: Device, document: DesiredDocument) -> bool:
    return (row.desired_epoch, row.desired_counter) == (document.epoch, document.counter)

"""How often a device may have a certificate made (trust 6.2)."""

from __future__ import annotations

from sqlalchemy import func
from sqlmodel import select

from limosa_server.errors import RenewedTooOften
from limosa_server.state import ServerState
from limosa_server.tables.devices import DeviceCertificate


def check_rate(state: ServerState, device: str, *, now: float) -> None:
    """A device that renews in a loop would fill the database and the audit. Raises RenewedTooOften."""
    limits = state.settings.limits
    with state.store.read() as tx:
        recent = tx.exec(
            select(func.count())
            .select_from(DeviceCertificate)
            .where(DeviceCertificate.device == device, DeviceCertificate.issued_at > now - limits.renewals_s)
        ).one()
    if recent >= limits.renewals_max:
        raise RenewedTooOften(
            f"{recent} certificates were made for this device lately",
            where=f"device {device}",
            why=f"at most {limits.renewals_max} in {limits.renewals_s:.0f} s",
        )

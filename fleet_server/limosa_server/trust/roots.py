"""Which devices have come over to the newest root CA, and whom a rotation waits for (trust 1.2).

An agent says once a day what it trusts, and is told what it shall trust. One that is older takes the root
CAs with its next certificate; that it came with this certificate shows that it has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography import x509
from sqlalchemy import ColumnElement, func, update
from sqlmodel import col, select

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.root_ca import SPREAD_DEVICES_MAX, SPREAD_FILE, RootSpread, fingerprints
from limosa_server.access import audit
from limosa_server.core.device_state import DeviceState
from limosa_server.files import write_atomic
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.access import AuditRow
from limosa_server.tables.devices import Device, DeviceCertificate
from limosa_server.trust.pki import DeviceAuthority

ITEM: Final = "root CA"  # among the keys in use
SAID_EVERY_S: Final = 3600.0  # that a device said the same again is written so often at most
CAME_OVER: Final = "device.root"  # in the audit
WRITTEN_EVERY_S: Final = 10.0  # how far it has come, for `limosa keys retire`


def newest(authority: DeviceAuthority) -> str:
    """Its fingerprint. Raises InvalidField."""
    return fingerprints(authority.root_pem)[0]


def rotates(authority: DeviceAuthority) -> bool:
    """Whether there is one that is to go."""
    return len(fingerprints(authority.root_pem)) > 1


def said(state: ServerState, device: str, has: Sequence[str], *, certificate: str) -> bool:
    """Notes what a device says that it trusts; whether it shall have another certificate made at once, for
    the one it came with, a fingerprint, is not of the device CA in use.

    It has come over to the newest root CA when it trusts that one and shows a certificate under it.
    """
    now, known = state.clock(), fingerprints(state.authority.root_pem)
    with state.store.read() as tx:
        shown = _leaf(tx.get_one(DeviceCertificate, certificate))
        behind = not state.authority.is_of_newest_root(shown)
        counting = known[1:] if behind else known
        held = next((one for one in counting if one in has), "")
        row = tx.get_one(Device, device)
        same = row.root_sha256 == held and row.root_said_at and now - row.root_said_at < SAID_EVERY_S
    if not same:
        _note(state, device, held, now)
    return not state.authority.issues(shown)


def _note(state: ServerState, device: str, held: str, now: float) -> None:
    with state.store.transaction() as tx:
        row = tx.get_one(Device, device)
        before, row.root_sha256, row.root_said_at = row.root_sha256, held, now
        tx.add(row)
        if held and before not in ("", held) and not _was_said(tx, device, held):
            audit.record(
                tx, at=now, actor=f"device {device}", action=CAME_OVER, object=f"device {device}",
                before={"root": before}, after={"root": held},
            )  # fmt: skip


def _was_said(tx: Transaction, device: str, held: str) -> bool:
    """Once for each root CA: who says now this and now that is not to fill the audit."""
    row, after = AuditRow, encode_canonical({"root": held}).decode()
    said = select(row.seq).where(
        row.object == f"device {device}", row.action == CAME_OVER, row.after == after
    )
    return tx.exec(said.limit(1)).first() is not None


def _leaf(row: DeviceCertificate) -> x509.Certificate:
    return x509.load_pem_x509_certificate(row.pem.encode())


def given(row: Device, authority: DeviceAuthority) -> None:
    """With its enrolment; it will say so itself."""
    row.root_sha256, row.root_said_at = newest(authority), None


def shown_by(tx: Transaction, state: ServerState, row: Device, certificate: DeviceCertificate) -> None:
    """Of an agent that says nothing of its roots: it stores them together with its certificate, so who
    comes with one that was made since has the newest."""
    root = newest(state.authority)
    if row.root_said_at is not None or row.root_sha256 == root:
        return
    if state.authority.is_of_newest_root(_leaf(certificate)):
        row.root_sha256 = root
        tx.add(row)


def adopt_first(tx: Transaction, root: str) -> None:
    """Devices from before this was written down have the only one there was."""
    tx.execute(update(Device).where(col(Device.root_sha256) == "").values(root_sha256=root))


def count_missing(tx: Transaction, root: str) -> int:
    """Devices of the fleet that are not known to have it."""
    return tx.exec(select(func.count()).select_from(Device).where(*_missing(root))).one()


def missing(tx: Transaction, root: str, *, after: str = "", limit: int) -> Sequence[Device]:
    """The same by id, `limit` of them behind `after`."""
    query = select(Device).where(*_missing(root), col(Device.id) > after)
    return tx.exec(query.order_by(col(Device.id)).limit(limit)).all()


def write_spread(state: ServerState) -> bool:
    """While the root CA is rotated, leaves in the trust folder how far it has come; whether it did."""
    path, now = state.trust.path / SPREAD_FILE, state.clock()
    if not rotates(state.authority):
        path.unlink(missing_ok=True)
        return False
    root = newest(state.authority)
    with state.store.read() as tx:
        spread = RootSpread(
            root=root,
            at=int(now),
            missing=count_missing(tx, root),
            devices=tuple(row.id for row in missing(tx, root, limit=SPREAD_DEVICES_MAX)),
        )
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_atomic(path, spread.encode())
    return True


def _missing(root: str) -> tuple[ColumnElement[bool], ...]:
    return (col(Device.state) == DeviceState.ACTIVE, col(Device.root_sha256) != root)

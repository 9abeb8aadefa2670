"""A device joins: token and certificate request in, identity out (trust 6.1); and renews (6.2)."""

from __future__ import annotations

import secrets
from typing import Final

from sqlalchemy import or_, update
from sqlmodel import col, select

from limosa_contracts.enrolment import Enrolled, EnrollRequest
from limosa_contracts.signing_keys import PublicKey
from limosa_server.access import audit, tokens
from limosa_server.access.scope import Scope
from limosa_server.core.device_state import DeviceState
from limosa_server.errors import EnrolmentRefused
from limosa_server.fleet import leaving
from limosa_server.fleet.labels import DEVICE, TOKEN, check_labels, set_labels
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.access import EnrollmentToken
from limosa_server.tables.devices import Device, DeviceCertificate
from limosa_server.trust import certificates, roots
from limosa_server.trust.pki import IssuedCertificate, key_of_request
from limosa_server.trust.revocation_list import ANNOUNCED

DEVICE_ID_BYTES: Final = 5


def enroll(state: ServerState, request: EnrollRequest) -> Enrolled:
    """Raises EnrolmentRefused, WeakKey, InvalidField. A refused request does not use the token up."""
    key = key_of_request(request.csr_pem)
    check_labels(request.labels)
    now = state.clock()
    token_id, sha256 = tokens.split(request.token)
    with state.store.read() as tx:
        token = tx.get(EnrollmentToken, token_id)
    if token is None or not tokens.same(token.secret_sha256, sha256):
        raise EnrolmentRefused("the enrolment token is not valid", why="it is not one of this server")
    device = token.device or f"dev-{secrets.token_hex(DEVICE_ID_BYTES)}"
    issued = state.authority.issue(
        key, device=device, now=now, lifetime_s=state.settings.limits.device_certificate_s
    )
    with state.store.transaction() as tx:
        _use_up(tx, token_id, sha256, device=device, serial=request.serial, now=now)
        born = _let_in(tx, state, token, request, device, now)
        _keep_certificate(tx, issued, device=device, now=now)
        roots.given(tx.get_one(Device, device), state.authority)
        for handler in state.device_handlers:
            handler(tx, [device], token.group, now)
        audit.record(
            tx,
            at=now,
            actor=f"enrollment-token {token_id}",
            action="device.enroll",
            object=f"device {device}",
            after={"certificate": issued.fingerprint, "serial": request.serial, "group": token.group},
        )
        tx.announce("devices", f"device {device}", ANNOUNCED)  # it may have had a certificate before
    return _answer(state, device, issued, born=born)


def check_name(tx: Transaction, device: str, scope: Scope, *, now: float) -> None:
    """That a token may be made for this name: it takes the place of the device that has it, or comes before
    the one that another token is out for. Raises NotFound, Conflict."""
    row = tx.get(Device, device)
    if row is not None:
        scope.check_device(tx, device)
        if row.state == DeviceState.DECOMMISSIONED:
            raise leaving.decommissioned(device)
    others = select(EnrollmentToken.id).where(
        EnrollmentToken.device == device,
        col(EnrollmentToken.used_at).is_(None),
        col(EnrollmentToken.revoked_at).is_(None),
        EnrollmentToken.expires_at > now,
        EnrollmentToken.group != scope.group,
    )
    if row is None and scope.group and tx.exec(others.limit(1)).first() is not None:
        scope.check_device(tx, device)


def renew(state: ServerState, *, device: str, csr_pem: str) -> IssuedCertificate:
    """A new certificate for a new key; the caller has proven the old one.

    Raises WeakKey, InvalidField, RenewedTooOften.
    """
    key = key_of_request(csr_pem)
    now = state.clock()
    certificates.check_rate(state, device, now=now)
    issued = state.authority.issue(
        key, device=device, now=now, lifetime_s=state.settings.limits.device_certificate_s
    )
    with state.store.transaction() as tx:
        _keep_certificate(tx, issued, device=device, now=now)
        audit.record(
            tx,
            at=now,
            actor=f"device {device}",
            action="device.renew",
            object=f"device {device}",
            after={"certificate": issued.fingerprint},
        )
    return issued


def _use_up(tx: Transaction, token_id: str, sha256: str, *, device: str, serial: str, now: float) -> None:
    """One UPDATE decides: of two uses at once, one finds no row (trust 6.1)."""
    token = EnrollmentToken
    used = tx.connection().execute(
        update(token)
        .where(
            col(token.id) == token_id,
            col(token.secret_sha256) == sha256,
            col(token.used_at).is_(None),
            col(token.revoked_at).is_(None),
            col(token.expires_at) > now,
            or_(col(token.serial) == "", col(token.serial) == serial),
        )
        .values(used_at=now, used_by=device)
    )
    if used.rowcount != 1:
        raise EnrolmentRefused(
            "the enrolment token is not valid",
            why="it was used, revoked, has expired, or is bound to another serial number",
        )


def _let_in(
    tx: Transaction,
    state: ServerState,
    token: EnrollmentToken,
    request: EnrollRequest,
    device: str,
    now: float,
) -> float:
    """When this hardware came in, Unix seconds: later than that of the hardware before, whatever the
    clock says, for their connections are told apart by it."""
    row = tx.get(Device, device)
    born = now if row is None else max(now, row.enrolled_at + 1)
    if row is None:
        row = Device(id=device, enrolled_at=born)
    elif row.state == DeviceState.DECOMMISSIONED:
        raise EnrolmentRefused("the enrolment token is not valid", why=f"{device} is decommissioned")
    else:
        leaving.make_room(tx, row, state.leaving_handlers, now=now)
    # A token that was made for this name before must not take the place of who came first (trust 6.1).
    leaving.end_tokens(tx, device, now=now)
    row.state, row.serial, row.enrolled_at = DeviceState.ACTIVE, request.serial, born
    row.capabilities = dict(request.capabilities)
    row.profile = str(request.capabilities.get("profile") or "")[:64]
    tx.add(row)
    tx.flush()
    set_labels(tx, device, request.labels, source=DEVICE)
    set_labels(tx, device, {str(k): str(v) for k, v in token.labels.items()}, source=TOKEN)
    return born


def _keep_certificate(tx: Transaction, issued: IssuedCertificate, *, device: str, now: float) -> None:
    tx.add(
        DeviceCertificate(
            fingerprint=issued.fingerprint,
            device=device,
            serial_number=issued.serial_number,
            pem=issued.leaf_pem,
            not_after=issued.not_after,
            issued_at=now,
        )
    )


def _answer(state: ServerState, device: str, issued: IssuedCertificate, *, born: float) -> Enrolled:
    director: PublicKey = state.director_key.public
    return Enrolled(
        device=device,
        certificate_pem=issued.chain_pem,
        ca_pem=state.authority.root_pem,
        tuf_root=state.trust.root(),
        mqtt_host=state.endpoints.mqtt_host,
        mqtt_port=state.endpoints.mqtt_port,
        mqtt_tls=state.endpoints.mqtt_tls,
        extra={
            "server": state.endpoints.base_url,
            "director": director.pem().decode(),
            "enrolled_at": int(born),
        },
    )

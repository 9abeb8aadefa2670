"""An assertion signed by a device's key, exchanged for an access token (trust 6.2)."""

from __future__ import annotations

from sqlalchemy import delete
from sqlmodel import col

from limosa_contracts.assertion import LEEWAY_S, Assertion, parse_assertion
from limosa_contracts.errors import InvalidField
from limosa_server.access.tokens import AccessClaims
from limosa_server.core.device_state import DeviceState
from limosa_server.errors import DeviceRevoked, Replayed
from limosa_server.state import ServerState
from limosa_server.store.upsert import insert
from limosa_server.tables.access import AssertionJti
from limosa_server.tables.devices import Device, DeviceCertificate
from limosa_server.trust import farewell, roots
from limosa_server.trust.pki import fingerprint_of

TOKEN_PATH = "/api/v1/device/token"  # noqa: S105  # a path


def exchange(state: ServerState, text: str) -> str:
    """An access token. Raises InvalidField, SignatureMismatch, DeviceRevoked, StaleCertificate, Replayed.

    A certificate that has expired is still good for this within the grace period: it is how a device
    that was away for weeks gets a new one.
    """
    now = state.clock()
    assertion = _parse(state, text, now=now)
    state.authority.check(
        assertion.certificate, device=assertion.device, now=now, grace_s=state.settings.limits.renew_grace_s
    )
    fingerprint = fingerprint_of(assertion.certificate)
    _check_of_the_fleet(state, assertion.device, fingerprint)
    with state.store.transaction() as tx:
        device = tx.get(Device, assertion.device)
        certificate = tx.get(DeviceCertificate, fingerprint)
        if (
            device is None
            or device.state != DeviceState.ACTIVE
            or certificate is None
            or certificate.revoked_at
        ):
            raise DeviceRevoked(
                "this device is not one of the fleet any more", where=f"device {assertion.device}"
            )
        roots.shown_by(tx, state, device, certificate)
        tx.execute(delete(AssertionJti).where(col(AssertionJti.expires_at) < now))
        first = tx.connection().execute(
            insert(tx, AssertionJti)
            .values(device=assertion.device, jti=assertion.jti, expires_at=assertion.expires + LEEWAY_S + 1)
            .on_conflict_do_nothing()
        )
        if first.rowcount != 1:
            raise Replayed("this assertion was used before", where=f"device {assertion.device}")
    claims = AccessClaims(device=assertion.device, certificate=fingerprint)
    return state.access_tokens.issue(claims, now=now)


def _check_of_the_fleet(state: ServerState, device: str, fingerprint: str) -> None:
    """Raises DeviceRevoked, with what a device that is taken out shall know."""
    with state.store.read() as tx:
        row, certificate = tx.get(Device, device), tx.get(DeviceCertificate, fingerprint)
        ours = certificate is not None and certificate.device == device
        active = row is not None and row.state == DeviceState.ACTIVE
        good = certificate is not None and certificate.revoked_at is None
    if ours and not (active and good):
        raise farewell.refusal(state, device)


def _parse(state: ServerState, text: str, *, now: float) -> Assertion:
    """For the canonical URL; devices that were told another name of this server use that one."""
    audiences = dict.fromkeys((state.endpoints.base_url, state.settings.base_url))
    last: InvalidField | None = None
    for base in audiences:
        try:
            return parse_assertion(text, audience=base + TOKEN_PATH, now=now)
        except InvalidField as error:
            last = error
            if error.where != "assertion.aud":
                raise
    assert last is not None
    raise last

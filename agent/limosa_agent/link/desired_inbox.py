"""Desired states on their way in: judged, kept, refused and counted (trust 4.2)."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from limosa_agent.errors import DesiredExpired, DesiredNotTrusted
from limosa_agent.fetch.time_floor import reference_time
from limosa_agent.link.desired_gate import Accepted, AcceptedDesired, RefusedDesired, Repeated, judge_desired
from limosa_agent.link.trickle import Trickle
from limosa_agent.store.journal import Journal
from limosa_agent.store.state_db import StateDb
from limosa_contracts.desired import DesiredState, Farewell
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import LimosaError, SignatureMismatch, TrustError
from limosa_contracts.limits import LIMITS
from limosa_contracts.signing_keys import PublicKey

if TYPE_CHECKING:
    from limosa_agent.link.audit_witness import AuditWitness

log = logging.getLogger(__name__)
SIGNER: Final = "desired_keyid"  # director key of the document that was accepted last
REFRESH_EVERY_S: Final = 30.0  # at most, for documents that do not verify: the key may have changed
ALARMS_BURST: Final = 20  # reported at once per kind of refusal, then one every ALARM_EVERY_S;
ALARM_EVERY_S: Final = 3600.0  # all are counted


class DesiredInbox:
    """`refresh` runs the fetch child and gives the director's key, or None if it could not."""

    def __init__(
        self,
        db: StateDb,
        *,
        device: str,
        refresh: Callable[[], Awaitable[str | None]],
        alarm: Callable[[str, TrustError], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._db = db
        self._journal = Journal(db)
        self._device = device
        self._refresh = refresh
        self._alarm = alarm
        self._clock = clock
        self._refreshed_at = -REFRESH_EVERY_S
        self._told: dict[str, Trickle] = {}
        self.refused: Counter[str] = Counter()
        self.settled = False  # whether the document that came last need not come again
        self._expired: bytes | None = None  # refused by what the clock said then
        self._witness: AuditWitness | None = None
        self._last = _signed_by(self._journal.desired(), self._db.meta(SIGNER) or "")
        self.state: DesiredState | None = _reread(self._last)

    @property
    def order(self) -> tuple[int, int]:
        return self._last.order if self._last else (0, 0)

    @property
    def decommissioned(self) -> Farewell | None:
        """What the director said when it took this device out of the fleet, unless it said more since."""
        return self.state.decommissioned if self.state else None

    @property
    def now(self) -> float:
        """The reference time of trust 3.3."""
        return reference_time(clock=self._clock(), floor=float(self._db.meta("time_floor") or "0"))

    @property
    def expired(self) -> bool:
        """An expired document stops new installs, and nothing else (trust 4.2)."""
        return self.state is not None and self.state.expires <= self.now

    async def receive(self, envelope: bytes) -> bool:
        """Whether there is a new desired state."""
        self.settled = False
        director = self._director() or await self._refreshed()
        if director is None:
            return False  # no key yet: the document is retained, and comes again with the next poll
        judgement = self._judge(envelope, director)
        if isinstance(judgement, RefusedDesired) and isinstance(judgement.error, DesiredNotTrusted):
            newer = await self._refreshed()
            if newer is not None and newer.keyid != director.keyid:
                judgement = self._judge(envelope, newer)
        if isinstance(judgement, Accepted):
            with self._db.transaction("desired"):
                self._journal.save_desired(judgement.record)
                self._db.set_meta(SIGNER, judgement.record.keyid)
            self._last, self.state = judgement.record, judgement.state
            self._expired = None
            if judgement.state.decommissioned is not None:
                why = judgement.state.decommissioned.reason or "no reason was given"
                log.warning("this device is taken out of the fleet (%s); it goes on with what it has", why)
            if judgement.state.audit_head:
                self.witness.see(judgement.state.audit_head)
        # What does not verify may do so under a key that the next refresh brings.
        self.settled = not (
            isinstance(judgement, RefusedDesired) and isinstance(judgement.error, DesiredNotTrusted)
        )
        if not isinstance(judgement, RefusedDesired):
            return isinstance(judgement, Accepted)
        if isinstance(judgement.error, DesiredExpired):
            self._expired = envelope
        self._refuse(envelope, judgement.error)
        return False

    async def verified(self, envelope: bytes, *, payload_type: str) -> bytes:
        """What the director signed beside documents, under the key it has now.

        Raises SignatureMismatch, InvalidField, TooLarge.
        """
        parsed = Envelope.parse(envelope, max_bytes=LIMITS.mqtt_message_max_bytes)
        director = self._director() or await self._refreshed()
        if director is None:
            raise DesiredNotTrusted("the director's key is not known yet")
        try:
            return parsed.verify(director, payload_type=payload_type)
        except SignatureMismatch:
            newer = await self._refreshed()
            if newer is None or newer.keyid == director.keyid:
                raise
            return parsed.verify(newer, payload_type=payload_type)

    @property
    def witness(self) -> AuditWitness:
        """Loaded when the first head comes."""
        if self._witness is None:
            from limosa_agent.link.audit_witness import AuditWitness

            self._witness = AuditWitness(self._db, self._alarm)
        return self._witness

    async def look_again(self) -> None:
        """Takes the document that had expired, if the clock that said so has been set back since: neither
        a broker nor a server sends it a second time."""
        director = self._director()
        if self._expired is None or director is None:
            return
        if isinstance(self._judge(self._expired, director), Accepted):
            await self.receive(self._expired)

    def _judge(self, envelope: bytes, director: PublicKey) -> Accepted | Repeated | RefusedDesired:
        return judge_desired(envelope, director=director, device=self._device, last=self._last, now=self.now)

    def _refuse(self, envelope: bytes, error: TrustError) -> None:
        self.refused[error.code] += 1
        told = self._told.setdefault(error.code, Trickle(burst=ALARMS_BURST, every_s=ALARM_EVERY_S))
        if told.allows(now_s=time.monotonic()):
            digest = hashlib.sha256(envelope).hexdigest()[:16]
            self._alarm(f"desired:{error.code}:{digest}", error)

    def _director(self) -> PublicKey | None:
        pem = self._db.meta("director_pem")
        return PublicKey.parse(pem.encode()) if pem else None

    async def _refreshed(self) -> PublicKey | None:
        if time.monotonic() - self._refreshed_at < REFRESH_EVERY_S and self._director():
            return None
        self._refreshed_at = time.monotonic()
        pem = await self._refresh()
        if pem is None:
            return None
        self._db.set_meta("director_pem", pem)
        return PublicKey.parse(pem.encode())


def _signed_by(last: AcceptedDesired | None, keyid: str) -> AcceptedDesired | None:
    return replace(last, keyid=keyid) if last is not None else None


def _reread(last: AcceptedDesired | None) -> DesiredState | None:
    """What was accepted is not judged again: it passed the gate when it was stored."""
    if last is None:
        return None
    try:
        return DesiredState.parse(
            Envelope.parse(last.envelope, max_bytes=2 * LIMITS.mqtt_message_max_bytes).payload
        )
    except LimosaError:
        return None  # written by another version of the agent: the next document will do

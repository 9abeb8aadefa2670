"""May this desired state be obeyed? A pure decision (trust 4.2)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeAlias

from limosa_agent.errors import (
    DesiredConflict,
    DesiredExpired,
    DesiredForeign,
    DesiredNotTrusted,
    DesiredOld,
)
from limosa_contracts.desired import PAYLOAD_TYPE, DesiredState
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import LimosaError, TrustError
from limosa_contracts.limits import LIMITS
from limosa_contracts.signing_keys import PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedDesired:
    """The desired state accepted last; `digest` is of its envelope's payload.

    `keyid` names the director key that signed it; "" where an earlier agent did not write it down.
    """

    epoch: int
    counter: int
    digest: str
    envelope: bytes
    keyid: str = ""

    @property
    def order(self) -> tuple[int, int]:
        return (self.epoch, self.counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    state: DesiredState
    record: AcceptedDesired


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """The document that was accepted last, once more: brokers repeat what they retain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedDesired:
    error: TrustError


Judgement: TypeAlias = Accepted | Repeated | RefusedDesired


def judge_desired(
    envelope: bytes, *, director: PublicKey, device: str, last: AcceptedDesired | None, now: float
) -> Judgement:
    """`now` is the reference time of trust 3.3, never below the time floor.

    An expired document never stops a running model: the caller keeps what it has.

    Numbers are counted per director key (ADR 59): who has captured one can run them to their end, and a
    new key, which only the offline keys can name, starts them anew. What the old key signed does not
    verify any more, so nothing of it can come back.
    """
    if last is not None and last.keyid not in ("", director.keyid):
        last = None
    try:
        payload = Envelope.parse(envelope, max_bytes=2 * LIMITS.mqtt_message_max_bytes).verify(
            director, payload_type=PAYLOAD_TYPE
        )
        state = DesiredState.parse(payload)
    except LimosaError as error:
        refused = DesiredNotTrusted("a desired state is refused", why=str(error))
        return RefusedDesired(error=refused)
    digest = hashlib.sha256(payload).hexdigest()
    if state.device != device:
        return RefusedDesired(error=DesiredForeign("a desired state is for another device", why=state.device))
    numbers = {"epoch": state.epoch, "counter": state.counter}
    if last is not None and state.order == last.order:
        if digest == last.digest:
            return Repeated()
        return RefusedDesired(error=DesiredConflict("two desired states carry one number", evidence=numbers))
    if last is not None and state.order < last.order:
        return RefusedDesired(
            error=DesiredOld(
                "a desired state is older than the one accepted last",
                why=f"{state.order} after {last.order}",
                evidence=numbers,
            )
        )
    if state.expires <= now:
        return RefusedDesired(
            error=DesiredExpired(
                "a desired state has expired", why=f"{now - state.expires:.0f} s ago", evidence=numbers
            )
        )
    record = AcceptedDesired(
        epoch=state.epoch, counter=state.counter, digest=digest, envelope=envelope, keyid=director.keyid
    )
    return Accepted(state=state, record=record)

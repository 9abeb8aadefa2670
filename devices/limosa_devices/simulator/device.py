"""One simulated device: what it makes of a document, and an outbox that keeps what nobody acknowledged.

No socket in it: documents and acknowledgements come in, signed messages go out (agent 6).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from limosa_contracts.desired import DesiredModel, DesiredState
from limosa_contracts.dsse import Envelope
from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.limits import LIMITS
from limosa_contracts.phases import Phase
from limosa_contracts.report_message import Ack, ReportMessage
from limosa_contracts.reported import Installed, Reported, ReportedModel
from limosa_contracts.signing_keys import SigningKey
from limosa_contracts.topics import Suffix


@dataclass(slots=True, kw_only=True)
class SimulatedDevice:
    """`bad`: versions that it falls back from. `wordy`: it tells each phase, as an agent does; else only
    how it ended."""

    name: str
    key: SigningKey
    session: int  # of its outbox
    running: dict[str, Installed] = field(default_factory=dict)  # by model
    bad: frozenset[str] = frozenset()
    wordy: bool = False
    counter: int = 0
    seq: int = 0
    acked: int = 0
    outbox: deque[ReportMessage] = field(default_factory=deque)
    ended: dict[tuple[str, int], Phase] = field(default_factory=dict)  # by rollout and attempt

    def obey(self, document: bytes, *, now: float) -> list[ReportMessage]:
        """What it says to a document; nothing to one that is not newer."""
        payload = Envelope.parse(document, max_bytes=2 * LIMITS.mqtt_message_max_bytes).payload
        desired = DesiredState.parse(payload)
        if desired.counter <= self.counter:
            return []
        self.counter = desired.counter
        said: list[ReportMessage] = []
        for model in desired.models:
            said += self._take(model, now)
        said.append(self._sign(Suffix.REPORTED, self._reported(desired, now)))
        return said

    def acknowledge(self, data: bytes) -> None:
        """Forgets what the server has committed. Raises InvalidField, InvalidJson."""
        ack = Ack.parse(data)
        if ack.session != self.session:
            return
        self.acked = max(self.acked, ack.seq)
        while self.outbox and self.outbox[0].seq <= ack.seq:
            self.outbox.popleft()

    def _take(self, model: DesiredModel, now: float) -> list[ReportMessage]:
        before = self.running.get(model.model)
        attempt = (model.rollout, model.attempt)
        if attempt in self.ended or (before is not None and before.index_sha256 == model.index_sha256):
            return []
        fails = model.version in self.bad
        last = Phase.FELL_BACK if fails else Phase.COMMITTED
        path = [Phase.RESOLVING, Phase.DOWNLOADING, Phase.STAGED, Phase.PROBATION] if self.wordy else []
        if not fails:
            self.running[model.model] = Installed(
                version=model.version, index_sha256=model.index_sha256, manifest_sha256=model.index_sha256
            )
        self.ended[attempt] = last
        return [self._sign(Suffix.EVENT, self._event(model, phase, now)) for phase in (*path, last)]

    def _sign(self, suffix: Suffix, payload: bytes) -> ReportMessage:
        before, self.seq = self.seq, self.seq + 1
        message = ReportMessage.sign(
            self.key, device=self.name, suffix=suffix, session=self.session, seq=self.seq, prev=before,
            payload=payload,
        )  # fmt: skip
        self.outbox.append(message)
        return message

    def _event(self, model: DesiredModel, phase: Phase, now: float) -> bytes:
        bad = phase is Phase.FELL_BACK
        reason = Reason(code="error_rate" if bad else "", message="simulated" if bad else "")
        return UpdateEvent(
            device=self.name, key=f"{model.rollout}:{model.attempt}:{phase.value}", kind="update",
            model=model.model, version=model.version, index_sha256=model.index_sha256, manifest_sha256="",
            rollout=model.rollout, attempt=model.attempt, phase=phase, reason=reason, at=now, boot="b1",
        ).encode()  # fmt: skip

    def _reported(self, desired: DesiredState, now: float) -> bytes:
        models = tuple(
            ReportedModel(
                model=model.model,
                phase=self.ended.get((model.rollout, model.attempt), Phase.COMMITTED),
                active=self.running.get(model.model),
                rollout=model.rollout,
                attempt=model.attempt,
            )
            for model in desired.models
        )
        return Reported(
            device=self.name, agent="0.1.0", boot="b1", clock="ntp", at=now, desired=desired.order,
            models=models, capabilities={"profile": "generic-x86-64", "arch": "x86_64"},
            resources={"disk_free": 10**10},
        ).encode()  # fmt: skip

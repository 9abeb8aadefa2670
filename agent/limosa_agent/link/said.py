"""What this device says of itself, put into the outbox: `reported` where it is news, and alarms."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from limosa_agent.capabilities import resources
from limosa_agent.config import AgentConfig
from limosa_agent.health.watch import TrialWatch
from limosa_agent.link.desired_inbox import DesiredInbox
from limosa_agent.link.outbox import Outbox
from limosa_agent.link.reports import Speaker
from limosa_agent.link.trickle import Trickle
from limosa_agent.logs.about import about
from limosa_agent.serving.pool import ServingPool
from limosa_agent.update.state import ModelState
from limosa_contracts.errors import TrustError
from limosa_contracts.event import Reason

log = logging.getLogger(__name__)

REPORT_AGAIN_S: Final = 3600.0  # `reported` goes out this often even where nothing changed
ALARMS_BURST: Final = 200  # of one start of the agent; then one every ALARM_EVERY_S
ALARM_EVERY_S: Final = 600.0


class Said:
    """`states`: the state of every model, as it is now; `shadows`: of every lane that runs beside; `held`:
    what holds updates back."""

    def __init__(
        self,
        *,
        config: AgentConfig,
        speaker: Speaker,
        outbox: Outbox,
        states: Callable[[], Mapping[str, ModelState]],
        shadows: Callable[[], Mapping[str, ModelState]] = dict,
        held: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._shadows = shadows
        self._held = held
        self._config = config
        self._speaker = speaker
        self._outbox = outbox
        self._states = states
        self._alarms = Trickle(burst=ALARMS_BURST, every_s=ALARM_EVERY_S)
        self._crashes = 0
        self._last_reported: tuple[bytes, float] = (b"", 0.0)

    def report(self, *, pool: ServingPool, inbox: DesiredInbox, watch: TrialWatch) -> None:
        """`reported`, where it says something new."""
        serving = {slot.model: slot.manifest_sha256 for slot in pool.models}
        found = self._states()
        states = [found[model] for model in sorted(found)]
        clock = watch.clock_state()
        shadows, held = self._shadows(), self._held()
        plain = self._speaker.reported(
            states,
            desired=inbox.order,
            clock=clock,
            at=0.0,
            resources={},
            serving=serving,
            shadows=shadows,
            held=held,
        )
        if plain == self._last_reported[0] and time.monotonic() - self._last_reported[1] < REPORT_AGAIN_S:
            return
        self._outbox.put_reported(
            self._speaker.reported(
                states,
                desired=inbox.order,
                clock=clock,
                at=max(0.0, time.time()),
                resources={
                    **resources(self._config.state_dir),
                    "requests_lost": watch.requests_lost,
                    "outbox_bytes": self._outbox.bytes,
                },
                serving=serving,
                shadows=shadows,
                held=held,
            )
        )
        self._last_reported = (plain, time.monotonic())

    def report_again(self) -> None:
        self._last_reported = (b"", 0.0)

    def alarm(self, key: str, reason: Reason, *, model: str = "") -> None:
        with about(model):
            log.warning("%s: %s", reason.code, reason.message)
        if not self._alarms.allows(now_s=time.monotonic()):
            return
        if held := self._alarms.take_held():
            reason = replace(reason, evidence={**reason.evidence, "not_told_before": held})
        state = self._states().get(model)
        self._outbox.put_alarm(self._speaker.alarm(key, state, reason, at=max(0.0, time.time())))

    def crash(self, model: str, reason: Reason) -> None:
        """One that no verdict tells of."""
        self._crashes += 1
        self.alarm(f"crash:{self._speaker.boot}:{self._crashes}", reason, model=model)

    def refused(self, key: str, error: TrustError) -> None:
        reason = Reason(code=error.code, message=str(error), evidence=dict(error.evidence))
        self.alarm(key, reason)

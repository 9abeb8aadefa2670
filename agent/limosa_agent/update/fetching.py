"""Fetches of all models: one child at a time, retried with jitter, within the byte budget (agent 2.2)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from limosa_agent.chance import share
from limosa_agent.config import AgentConfig
from limosa_agent.fetch.agent_version import AGENT_VERSION
from limosa_agent.fetch.disk_use import room_bytes
from limosa_agent.fetch.limits import FetchLimits
from limosa_agent.fetch.paths import StatePaths
from limosa_agent.fetch_child import FetchFailed, run_fetch
from limosa_agent.link.backoff import Backoff
from limosa_agent.store.byte_budget import ByteBudget
from limosa_agent.store.moment import Moment
from limosa_agent.update.events import Event, Fetched, LinkLost, Progressed, Refused
from limosa_agent.update.guards import DISK_FULL
from limosa_agent.update.state import Facts, ModelState, Release
from limosa_agent.update.tasks import Tasks
from limosa_contracts.canonical import encode_canonical
from limosa_contracts.errors import LimosaError, SystemRefused
from limosa_contracts.event import Reason
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue

log = logging.getLogger(__name__)

FAULTS_MAX: Final = 5  # faults of this device in a row, before the attempt is given up
BUDGET_SPENT: Final = "budget_spent"  # the fetch child's reason where the bytes of today are used up
OUTGROWN: Final = (DISK_FULL, "no_fitting_variant", "agent_too_old")
"""Refusals that this device may outgrow without another release (rollouts 3.9)."""


class FetchSurroundings(Protocol):
    """What fetches need from the supervisor."""

    def post(self, state: ModelState, event: Event) -> None: ...
    def fetch_source(self) -> dict[str, JsonValue]: ...
    def fetch_failed(self, failed: FetchFailed) -> None: ...
    def capabilities(self) -> JsonObject: ...
    def learned(self, result: JsonObject) -> None: ...


class Fetching:
    """`make_room` removes what nothing needs from the disk, and says whether it removed anything."""

    def __init__(
        self,
        config: AgentConfig,
        around: FetchSurroundings,
        *,
        tasks: Tasks,
        budget: ByteBudget,
        moment: Callable[[], Moment],
        make_room: Callable[[], bool],
    ) -> None:
        self._config = config
        self._around = around
        self._tasks = tasks
        self._budget = budget
        self._moment = moment
        self._make_room = make_room
        self._running: dict[str, asyncio.Task[None]] = {}
        self._of: dict[str, ModelState] = {}
        self._pauses: dict[str, Backoff] = {}
        self._faults: dict[str, int] = {}
        self._made_room: set[str] = set()
        self._one_fetch = asyncio.Lock()  # a child takes 60 MB, and the lock of the blobs is for one

    # -- what the update machine asks for
    def start(self, state: ModelState) -> None:
        self.stop(state)
        self._pauses[state.key] = self._backoff()
        self._faults[state.key] = 0
        self._made_room.discard(state.key)
        self._begin(state, pause_s=0.0)

    def retry(self, state: ModelState) -> None:
        pause_s = self._pauses.setdefault(state.key, self._backoff()).next_s()
        if state.reason.code == BUDGET_SPENT:
            pause_s = max(pause_s, self._budget.wait_s(self._moment()))
        self._begin(state, pause_s=pause_s)

    def again(self) -> None:
        """Fetches come from elsewhere now: those that run or wait begin anew, at once."""
        for key, task in list(self._running.items()):
            if not task.done():
                self.start(self._of[key])

    def stop(self, state: ModelState) -> None:
        task = self._running.pop(state.key, None)
        if task is not None:
            task.cancel()

    @property
    def models(self) -> frozenset[str]:
        """Those with a fetch that runs or waits."""
        return frozenset(self._of[key].model for key, task in self._running.items() if not task.done())

    def facts(self) -> Facts:
        """What a refusal may depend on, as it is now."""
        capabilities = encode_canonical(dict(self._around.capabilities()))
        return Facts(
            agent=AGENT_VERSION,
            capabilities_sha256=hashlib.sha256(capabilities).hexdigest(),
            free_bytes=max(0, self._room()),
        )

    # -- one fetch
    def _begin(self, state: ModelState, *, pause_s: float) -> None:
        self._of[state.key] = state
        self._running[state.key] = self._tasks.spawn(self._fetch(state, pause_s=pause_s))

    async def _fetch(self, state: ModelState, *, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        outcome = await self._run(state)
        if isinstance(outcome, FetchFailed):
            self._around.fetch_failed(outcome)
            self._around.post(state, self._failed(state, outcome))
            return
        try:
            release = _release(state, outcome)
        except LimosaError as error:
            broken = _fault(error.code, str(error))
            self._around.post(state, self._failed(state, broken))
            return
        self._around.learned(outcome)
        nothing: JsonObject = {}
        fields = Fields(outcome, where="fetch.result")
        transfer = fields.optional("transfer", fields.object, nothing)
        self._around.post(state, Fetched(release=release, transfer=transfer))

    async def _run(self, state: ModelState) -> JsonObject | FetchFailed:
        told = ""
        received = 0

        def progressed(progress: JsonObject) -> None:
            nonlocal told, received
            phase = str(progress.get("phase", ""))
            came = progress.get("received")
            if metered and isinstance(came, int) and came > received:
                self._budget.spend(came - received, self._moment())
                received = came
            if phase != told:
                told = phase
                self._around.post(state, Progressed(verifying=phase == "VERIFYING"))

        try:
            async with self._one_fetch:
                request = self._request(state)
                metered = request.get("mirror") is None  # what comes from a stick costs no network
                return await run_fetch(request, progressed)
        except OSError as error:  # no process to be had now
            return _fault(SystemRefused.code, str(error))

    def _request(self, state: ModelState) -> dict[str, JsonValue]:
        assert state.target is not None
        limits = self._config.limits
        budgets = [limits.download_budget_bytes or None, self._budget.left(self._moment())]
        known = [budget for budget in budgets if budget is not None]
        return {
            "op": "install",
            "model": state.model,
            "version": state.target.version,
            "index_sha256": state.target.index_sha256,
            "committed_counter": state.committed_counter,
            # A challenger is no release to come back to (trust 2.4).
            "running_may_return_to": list(state.active.may_return_to)
            if state.active and not state.is_shadow
            else [],
            "permit": state.target.permit,
            "capabilities": self._around.capabilities(),
            "quarantined": [bad.manifest_sha256 for bad in state.quarantine],
            "byte_budget": min(known, default=None),
            "limits": {
                "delta_memory_bytes": limits.delta_memory_bytes,
                "disk_max_bytes": limits.disk_max_bytes,
            },
            **self._around.fetch_source(),  # last: a mirror has no byte budget
        }

    def _failed(self, state: ModelState, failed: FetchFailed) -> Event:
        reason = Reason(
            code=failed.reason, message=f"{failed.code}: {failed.message}", evidence=failed.evidence
        )
        log.warning("fetch of %s failed: %s", state.key, reason.message)
        under = self.facts() if failed.reason in OUTGROWN else None
        if failed.kind in ("trust", "request"):
            return Refused(reason=reason, under=under)
        if failed.reason == DISK_FULL:
            # rollouts 3.9: the same free space is not tried twice
            if state.key in self._made_room or not self._make_room():
                return Refused(reason=reason, under=under)
            self._made_room.add(state.key)
        elif failed.kind == "fault":
            self._faults[state.key] = self._faults.get(state.key, 0) + 1
            if self._faults[state.key] >= FAULTS_MAX:
                return Refused(reason=reason)
        return LinkLost(reason=reason)

    def _room(self) -> int:
        return room_bytes(
            StatePaths(self._config.state_dir),
            reserve=FetchLimits().disk_reserve_bytes,
            disk_max=self._config.limits.disk_max_bytes,
        )

    def _backoff(self) -> Backoff:
        return Backoff(
            least_s=self._config.reconnect_min_s,
            most_s=self._config.reconnect_max_s,
            chance=share,
        )


def _fault(code: str, message: str) -> FetchFailed:
    return FetchFailed(kind="fault", reason="fault", code=code, message=message, evidence={})


def _release(state: ModelState, result: Mapping[str, JsonValue]) -> Release:
    assert state.target is not None
    fields = Fields(result, where="fetch.result")
    return Release(
        version=state.target.version,
        index_sha256=state.target.index_sha256,
        manifest_sha256=fields.text("manifest_sha256"),
        variant=fields.text("variant", empty=True),
        release_counter=fields.integer("release_counter", low=0),
        may_return_to=fields.texts("may_return_to"),
    )

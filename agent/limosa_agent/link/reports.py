"""What this device says of itself: `reported` and events, as bytes (server 3.1). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from limosa_agent.update.actions import Report
from limosa_agent.update.state import ACTIVE, ModelState, Release
from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.phases import Phase
from limosa_contracts.reported import Installed, Reported, ReportedModel

MESSAGE_MAX_CHARS = 2000  # of one reason; contracts accept 2048
REASON_MAX_CHARS = 1000  # of the line in `reported`; contracts accept 1024
SHORT_MAX_CHARS: Final = 100  # of that line in a report that would be larger than a message may be
SHORT_MAX: Final = 8  # digests of one model's quarantine in such a report
NONE: Final[Mapping[str, ModelState]] = {}
NO_EXTRA: Final[JsonObject] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who speaks: the same in every report of one start of the agent."""

    device: str
    agent: str
    boot: str
    labels: dict[str, str] = field(default_factory=dict)
    capabilities: JsonObject = field(default_factory=dict)

    def update(self, report: Report, *, at: float) -> bytes:
        return self._event(
            key=report.key,
            kind="update",
            model=report.model,
            version=report.version,
            index_sha256=report.index_sha256,
            manifest_sha256=report.manifest_sha256,
            rollout=report.rollout,
            attempt=report.attempt,
            phase=report.phase,
            reason=report.reason,
            at=at,
            extra={} if report.lane == ACTIVE else {"lane": report.lane},
        ).encode()

    def alarm(self, key: str, state: ModelState | None, reason: Reason, *, at: float) -> UpdateEvent:
        """Something that an operator should know and no transition says; of a model where there is one."""
        release = state.active if state else None
        return self._event(
            key=key,
            kind="alarm",
            model=state.model if state else "agent/agent",
            version=release.version if release else "0.0.0",
            index_sha256=release.index_sha256 if release else "0" * 64,
            manifest_sha256=release.manifest_sha256 if release else "",
            rollout="",
            attempt=1,
            phase=state.phase if state else Phase.IDLE,
            reason=reason,
            at=at,
        )

    def reported(
        self,
        states: Iterable[ModelState],
        *,
        desired: tuple[int, int],
        clock: str,
        at: float,
        resources: Mapping[str, JsonValue],
        serving: Mapping[str, str],
        shadows: Mapping[str, ModelState] = NONE,
        held: Sequence[str] = (),
    ) -> bytes:
        """`serving`: model -> manifest that answers now; what does not answer is not reported active.
        `shadows`: model -> the lane that runs beside. `held`: what holds updates of this device back."""
        known = {state.model: state for state in states}
        alone = [ModelState(model=model) for model in shadows if model not in known]
        told = sorted(_most_telling([*known.values(), *alone], shadows), key=lambda state: state.model)
        whole = Reported(
            device=self.device,
            agent=self.agent,
            boot=self.boot,
            clock=clock,
            at=at,
            desired=desired,
            models=tuple(_model(state, serving.get(state.model), shadows.get(state.model)) for state in told),
            capabilities=self.capabilities,
            resources=dict(resources),
            labels=self.labels,
            extra={"held": list(held)} if held else {},
        )
        encoded = whole.encode()
        if len(encoded) <= LIMITS.mqtt_message_max_bytes:
            return encoded
        return replace(whole, models=tuple(_in_short(model) for model in whole.models)).encode()

    def _event(
        self,
        *,
        key: str,
        kind: str,
        model: str,
        version: str,
        index_sha256: str,
        manifest_sha256: str,
        rollout: str,
        attempt: int,
        phase: Phase,
        reason: Reason,
        at: float,
        extra: JsonObject = NO_EXTRA,
    ) -> UpdateEvent:
        event = UpdateEvent(
            device=self.device,
            key=key[:256],
            kind=kind,
            model=model,
            version=version,
            index_sha256=index_sha256,
            manifest_sha256=manifest_sha256,
            rollout=rollout,
            attempt=attempt,
            phase=phase,
            reason=Reason(
                code=reason.code[:64], message=reason.message[:MESSAGE_MAX_CHARS], evidence=reason.evidence
            ),
            at=at,
            boot=self.boot,
            extra=extra,
        )
        size = len(event.encode())
        if size <= LIMITS.mqtt_message_max_bytes:
            return event
        # One that the broker does not take would keep back all that come after it.
        told = replace(event.reason, evidence={"omitted_bytes": size})
        return replace(event, reason=told)


def _most_telling(states: Sequence[ModelState], shadows: Mapping[str, ModelState]) -> Sequence[ModelState]:
    """As many models as a server reads of one device; what is here comes before what was."""

    def rank(state: ModelState) -> tuple[bool, bool, str]:
        shadow = shadows.get(state.model)
        here = bool(state.kept or (shadow and shadow.kept))
        return (not here, state.phase in (Phase.IDLE, Phase.REMOVED), state.model)

    return sorted(states, key=rank)[: LIMITS.models_per_device_max]


def _in_short(model: ReportedModel) -> ReportedModel:
    """The verdicts tell the rest: a report that is too large for the broker would tell nothing."""
    return replace(
        model, reason=model.reason[:SHORT_MAX_CHARS], quarantined=model.quarantined[-SHORT_MAX:], extra={}
    )


def _model(state: ModelState, serving: str | None, shadow: ModelState | None) -> ReportedModel:
    """`active` is what answers: during a trial the candidate, with the committed one as previous."""
    slots = [state.candidate, state.active, state.previous]
    answering = next((r for r in slots if r is not None and r.manifest_sha256 == serving), None)
    on_trial = answering is not None and answering == state.candidate
    return ReportedModel(
        model=state.model,
        phase=state.phase,
        active=answering.installed() if answering else None,
        previous=_installed(state.active if on_trial else state.previous),
        candidate=None if on_trial else _installed(state.candidate),
        rollout=state.target.rollout if state.target else "",
        attempt=state.target.attempt if state.target else 1,
        reason=(f"{state.reason.code}: {state.reason.message}" if state.reason.code else "")[
            :REASON_MAX_CHARS
        ],
        quarantined=_refused_here(state),
        extra={} if shadow is None else {"shadow": _model(shadow, _digest(shadow.active), None).as_json()},
    )


def _refused_here(state: ModelState) -> tuple[str, ...]:
    """Manifests, and the indexes they came from: the server plans by indexes."""
    bad = state.quarantine
    return tuple(dict.fromkeys([*(b.manifest_sha256 for b in bad), *(b.index_sha256 for b in bad)]))


def _digest(release: Release | None) -> str | None:
    return release.manifest_sha256 if release else None


def _installed(release: Release | None) -> Installed | None:
    return release.installed() if release else None

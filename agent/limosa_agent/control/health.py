"""`health`: what the checks see of each version that serves, and what the probes answer (agent 4, 6.3)."""

from __future__ import annotations

import time

from limosa_agent.control.view import AgentView
from limosa_agent.health.facts import Observed
from limosa_agent.health.late import LateWatch
from limosa_agent.health.measures import quantile_us
from limosa_agent.health.probation import Probation
from limosa_agent.health.probe_results import ProbeResults
from limosa_agent.health.watch import TrialWatch
from limosa_agent.update.state import ModelState
from limosa_contracts.json_value import JsonObject, JsonValue


async def health(view: AgentView, request: JsonObject) -> dict[str, JsonValue]:
    supervisor, now = view.supervisor, time.monotonic()
    serving = {slot.model: slot.version for slot in supervisor.pool.models}
    models = [
        _model(state, serving.get(state.model), supervisor.watch, now_s=now)
        for _, state in sorted(supervisor.updater.states.items())
        if not state.is_shadow
    ]
    probes: list[JsonValue] = [_probe(results) for results in supervisor.watch.probes.of.values()]
    failing = any(model["failing"] or not model["serving"] for model in models) or any(
        results.failing_before(now) for results in supervisor.watch.probes.of.values()
    )
    return {
        "healthy": not failing,
        "clock": supervisor.watch.clock_state(),
        "requests_lost": supervisor.watch.requests_lost,
        "models": list(models),
        "probes": probes,
    }


def failing_now(view: AgentView) -> list[str]:
    """What fails now, in a word or two each: `demo/motion: error_rate`, `probe camera`."""
    watch, now_s = view.supervisor.watch, time.monotonic()
    checks = [
        f"{model}: {code}"
        for model, late in sorted(watch.committed.watches.items())
        for code in sorted(late.failing_since)
    ]
    return checks + [f"probe {name}" for name, one in watch.probes.of.items() if one.failing_before(now_s)]


def _model(
    state: ModelState, version: str | None, watch: TrialWatch, *, now_s: float
) -> dict[str, JsonValue]:
    probation, late = watch.probations.get(state.model), watch.committed.watches.get(state.model)
    said: dict[str, JsonValue] = {
        "model": state.model,
        "phase": state.phase.value,
        "serving": version,
        "quarantined": len(state.quarantine),
        "reason": {"code": state.reason.code, "message": state.reason.message},
        "failing": {},
    }
    if probation is not None:
        return {**said, "trial": _trial(probation, watch, now_s=now_s), "seen": _seen(probation.candidate)}
    if late is not None:
        return {**said, "failing": _failing(late, now_s=now_s), "seen": _seen(late.seen)}
    return {**said, "seen": _seen(None)}


def _trial(probation: Probation, watch: TrialWatch, *, now_s: float) -> JsonValue:
    waiting: list[JsonValue] = [
        facts.name for facts in probation.probe_facts(watch.probes.watching(probation.model)) if facts.waiting
    ]
    return {
        "elapsed_s": round(now_s - probation.began_s, 1),
        "inferences": probation.trial.inferences,
        "seconds": probation.trial.seconds,
        "max_seconds": probation.trial.max_seconds,
        "waits_for_probes": waiting,
    }


def _failing(late: LateWatch, *, now_s: float) -> dict[str, JsonValue]:
    """Code -> for how many seconds."""
    return {code: round(now_s - since_s, 1) for code, since_s in sorted(late.failing_since.items())}


def _seen(seen: Observed | None) -> JsonValue:
    if seen is None:
        return None
    return {
        "n": seen.n,
        "errors": seen.errors,
        "refused": seen.refused,
        "nan_outputs": seen.nan_outputs,
        "p95_us": quantile_us(seen.latency, 0.95) if sum(seen.latency) else None,
        "rss_bytes": seen.rss_bytes,
    }


def _probe(results: ProbeResults) -> JsonValue:
    last = results.results[-1] if results.results else None
    of = list(results.results)[-results.probe.of :]
    return {
        "name": results.probe.name,
        "models": list(results.probe.models),
        "ok": None if last is None else last.ok,
        "said": last.said if last else "",
        "took_s": round(last.took_s, 3) if last else None,
        "bad": sum(not result.ok for result in of),
        "fail": results.probe.fail,
        "of": results.probe.of,
    }

"""`limosa-agent health`: what the running agent's checks see."""

from __future__ import annotations

from pathlib import Path

from limosa_agent.commands.options import config_option
from limosa_contracts.cli import answer, columns, command, json_option
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject


@command("health", examples=["limosa-agent health", "limosa-agent health --json"])
@config_option
@json_option
def health_command(config: Path, as_json: bool) -> int:
    """Say what the health checks and the operator's probes see of what serves.

    Exit code 0 if all is well, 3 if a check or a probe fails now, or a model has no version that serves.
    """
    from limosa_agent.config import AgentConfig
    from limosa_agent.control_socket import ask_agent

    value = ask_agent(AgentConfig.load(config).control_socket, "health")
    answer(dict(value), as_json=as_json, text=lambda: _text(value))
    return 0 if Fields(value, where="health").boolean("healthy") else 3


def _text(value: JsonObject) -> str:
    fields = Fields(value, where="health")
    models = [_model(Fields(item, where=place)) for place, item in fields.items("models")]
    probes = [_probe(Fields(item, where=place)) for place, item in fields.items("probes")]
    head = (
        f"{'healthy' if fields.boolean('healthy') else 'not healthy'}  clock {fields.text('clock')}  "
        f"requests lost in crashes {fields.integer('requests_lost')}"
    )
    parts = [head]
    if models:
        parts.append(columns(["MODEL", "SERVES", "PHASE", "N", "BAD", "P95", "MEMORY", "NOW"], models))
    if probes:
        parts.append(columns(["PROBE", "LAST", "BAD", "SAID"], probes))
    return "\n".join(parts)


def _model(model: Fields) -> list[str]:
    seen = model.maybe("seen", model.fields)
    numbers = ["-"] * 4
    if seen is not None:
        bad = sum(seen.integer(name) for name in ("errors", "nan_outputs", "refused"))
        p95 = seen.maybe("p95_us", seen.number)
        numbers = [
            str(seen.integer("n")),
            str(bad),
            "-" if p95 is None else f"{p95 / 1000:.2f} ms",
            f"{seen.integer('rss_bytes') / 1e6:.0f} MB",
        ]
    serves = model.maybe("serving", model.text) or "nothing"
    return [model.text("model"), serves, model.text("phase"), *numbers, _now(model)]


def _now(model: Fields) -> str:
    """What fails, or how far a trial is."""
    failing = model.object("failing")
    if failing:
        return ", ".join(f"{code} for {for_s} s" for code, for_s in failing.items())
    trial = model.maybe("trial", model.fields)
    if trial is None:
        return "well" if model.has("serving") else model.fields("reason").text("code", empty=True)
    waits = trial.texts("waits_for_probes")
    said = f"trial: {trial.number('elapsed_s'):g} of {trial.number('seconds'):g} s"
    return f"{said}, waits for {', '.join(waits)}" if waits else said


def _probe(probe: Fields) -> list[str]:
    ok = probe.maybe("ok", probe.boolean)
    last = "not asked yet" if ok is None else "✓" if ok else "✗"
    bad = f"{probe.integer('bad')} of {probe.integer('of')}, fails at {probe.integer('fail')}"
    return [probe.text("name"), last, bad, probe.text("said", empty=True)]

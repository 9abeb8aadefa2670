"""`limosa-agent status` and `limosa-agent slots`: the running agent's own words."""

from __future__ import annotations

import time
from pathlib import Path

from limosa_agent.commands.options import config_option
from limosa_agent.commands.status_text import date, status_text
from limosa_contracts.cli import answer, columns, command, json_option
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue


@command("status", examples=["limosa-agent status", "limosa-agent status --json"])
@config_option
@json_option
def status_command(config: Path, as_json: bool) -> None:
    """Say what this device serves, what it waits for, and how its links are."""
    value = _ask(config, "status")
    answer(dict(value), as_json=as_json, text=lambda: status_text(value, now=time.time()))


@command("slots", examples=["limosa-agent slots", "limosa-agent slots --json"])
@config_option
@json_option
def slots_command(config: Path, as_json: bool) -> None:
    """List the releases this device keeps: active, previous, candidate, quarantined."""
    value = _ask(config, "slots")
    answer(dict(value), as_json=as_json, text=lambda: _slots_text(value))


def _ask(config: Path, op: str) -> JsonObject:
    from limosa_agent.config import AgentConfig
    from limosa_agent.control_socket import ask_agent

    return ask_agent(AgentConfig.load(config).control_socket, op)


def _slots_text(value: JsonObject) -> str:
    rows: list[list[str]] = []
    for where, item in Fields(value, where="slots").items("models"):
        model = Fields(item, where=where)
        for slot in ("active", "previous", "candidate"):
            if model.has(slot):
                release = model.object(slot)
                digest = _text(release, "manifest_sha256")[:12]
                rows.append([model.text("model"), slot, _text(release, "version"), digest])
        for _, bad in model.items("quarantine"):
            digest = _text(bad, "manifest_sha256")[:12]
            until = Fields(bad, where="quarantine").maybe("until", Fields(bad, where="quarantine").number)
            why = _text(bad, "reason") + (f", until {date(until)}" if until else "")
            rows.append([model.text("model"), "quarantined", why, digest])
    return columns(["MODEL", "SLOT", "VERSION OR WHY", "MANIFEST"], rows) if rows else "no slot is taken"


def _text(value: JsonValue, name: str) -> str:
    found = Fields(value, where="answer").raw(name)
    return "-" if found is None or found == "" else str(found)

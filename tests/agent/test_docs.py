"""What the documentation says of the agent is what the code does."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from limosa_agent.config import AgentConfig, Limits
from limosa_agent.update_machine import as_mermaid

DOCS = Path(__file__).parents[2] / "docs"


def test_every_key_of_the_configuration_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "agent-config.md").read_text(encoding="utf-8")
    keys = [field.name for field in (*fields(AgentConfig), *fields(Limits))]
    assert [key for key in keys if f"| `{key}` |" not in page and key != "limits"] == []


def test_drawing_of_the_update_machine_is_the_tables() -> None:
    page = (DOCS / "explanation" / "update-machine.md").read_text(encoding="utf-8")
    assert as_mermaid() in page

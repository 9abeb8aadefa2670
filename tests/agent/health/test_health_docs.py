"""What the pages say of health is what the code does."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

from limosa_agent.fetch.request import REASONS
from limosa_agent.health.config import HealthLimits
from limosa_agent.health.probe_config import ProbeConfig
from limosa_agent.health.reason_codes import CODES
from tests.docs.pages import page

AGENT = Path(__file__).parents[3] / "agent" / "limosa_agent"


def codes_in_the_code() -> set[str]:
    """Literals given to `Reason(code=…)`, reasons of errors, and those of the fetch child."""
    found = set(REASONS.values())
    for path in AGENT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                found.add(str(node.value.value))
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
                if "reason_code" in names:
                    found.add(str(node.value.value))
    return {code for code in found if code and not code.startswith("LM-")}


def test_every_reason_code_that_is_used_is_in_the_table() -> None:
    assert codes_in_the_code() - set(CODES) == set()


def test_every_reason_code_stands_in_the_reference() -> None:
    text = page("reference/reason-codes.md")
    assert [code for code in CODES if f"| `{code}` |" not in text] == []


def test_every_limit_of_health_stands_in_the_reference_with_its_default() -> None:
    text = page("reference/agent-toml.md")
    for field in dataclasses.fields(HealthLimits):
        if isinstance(field.default, (int, float)):
            assert re.search(rf"\| `{field.name}` \| \w+ \| {field.default:.10g} \|", text), field.name
        else:
            assert f"| `{field.name}` |" in text


def test_every_key_of_a_probe_stands_in_the_reference_with_its_default() -> None:
    text = page("reference/agent-toml.md")
    for field in dataclasses.fields(ProbeConfig):
        if isinstance(field.default, (int, float)):
            assert re.search(rf"\| `{field.name}` \| \w+ \| {field.default:g} \|", text), field.name
        elif field.name != "question":
            assert f"| `{field.name}` |" in text
    assert "| `exec` |" in text
    assert "| `http` |" in text

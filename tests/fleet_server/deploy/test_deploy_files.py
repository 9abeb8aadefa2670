"""What is shipped to be copied is true: metrics exist, files and commands that are named exist."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from limosa_server.metrics import make_metrics
from tests.support.processes import script

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "fleet_server/deploy"
NOT_OURS = {"up"}
FUNCTIONS = {
    "sum", "by", "rate", "increase", "histogram_quantile", "min_over_time", "max_over_time", "le", "avg",
    "sort",
}  # fmt: skip


def known() -> set[str]:
    """Names as Prometheus scrapes them."""
    names = set()
    for family in make_metrics().registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names |= {family.name + suffix for suffix in suffixes}
    return names


def named_in(expression: str) -> set[str]:
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\"[^\"]*\"", "", expression)
    bare = re.sub(r"\bby \([^)]*\)", "", bare)
    return {word for word in re.findall(r"[a-z_][a-z0-9_]*", bare) if word not in FUNCTIONS} - NOT_OURS


def test_every_metric_of_the_dashboard_and_the_alerts_exists() -> None:
    dashboard = json.loads((DEPLOY / "grafana/dashboards/fleet.json").read_text())
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    assert len(expressions) > 10
    asked = {name for expression in expressions for name in named_in(expression)}
    assert asked <= known(), asked - known()


def test_runbooks_that_alerts_name_are_there() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
    named = [rule["annotations"].get("runbook") for group in rules["groups"] for rule in group["rules"]]
    assert all((ROOT / path).is_file() for path in named if path), named


def test_compose_file_names_files_options_and_parts_that_exist() -> None:
    compose: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    made_by_the_operator = {"./trust", "./tls", "./nginx.conf"}
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./") and source not in made_by_the_operator:
                assert (DEPLOY / source).exists(), (name, volume)
            elif not source.startswith("./"):
                assert source in compose["volumes"], (name, volume)
        for other in service.get("depends_on", {}):
            assert other in compose["services"], (name, other)
        for secret in service.get("secrets", []):
            assert secret in compose["secrets"], (name, secret)
        words = service.get("command", [])
        if words[:1] == ["server"]:
            help_text = subprocess.run(
                [script("limosa"), *words[:2], "--help"], capture_output=True, text=True, check=True
            ).stdout
            for word in words[2:]:
                if word.startswith("--"):
                    assert word.partition("=")[0] in help_text, (name, word)
    page = (ROOT / "docs/how-to/production.md").read_text()
    for secret in compose["secrets"]:
        assert f"secrets/{secret}" in page, f"nobody is told what {secret} is"
    for source in made_by_the_operator:
        assert source.removeprefix("./") in page

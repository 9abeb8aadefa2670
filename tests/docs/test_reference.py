"""Every command, setting, error code, topic and metric stands in the reference (style 14)."""

from __future__ import annotations

import dataclasses
import doctest
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import click
import pytest
import yaml
from fastapi.routing import APIRoute

from limosa_agent.cli import agent as agent_group
from limosa_agent.config import AgentConfig
from limosa_agent.config import Limits as AgentLimits
from limosa_compiler.processing.registry import POSTPROCESS, PREPROCESS
from limosa_compiler.recipe import Gate, Recipe
from limosa_compiler.recipe.data import DataNotes
from limosa_compiler.recipe.inputs import InputNotes
from limosa_compiler.recipe.prune import PruneNotes
from limosa_compiler.recipe.search import SearchNotes
from limosa_contracts.cli_host import load, make_host
from limosa_contracts.cli_learn import all_errors
from limosa_contracts.command_table import DEFAULT_OF_NOUN, TABLE
from limosa_contracts.desired import DesiredModel, DesiredState
from limosa_contracts.device_command import CommandAnswer, DeviceCommand
from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import ReleaseName
from limosa_contracts.report_message import Ack
from limosa_contracts.reported import Installed, Reported, ReportedModel
from limosa_contracts.rollout.abort import AbortRule, Action, Failure
from limosa_contracts.rollout.analysis import AnalysisRule, OnInconclusive
from limosa_contracts.rollout.approval import Approval
from limosa_contracts.rollout.control import Control
from limosa_contracts.rollout.metrics import METRICS, Direction, NoData
from limosa_contracts.rollout.on_failure import OnFailure, Scope
from limosa_contracts.rollout.rate import Exponential, Rate
from limosa_contracts.rollout.retry import Retry
from limosa_contracts.rollout.schedule import Schedule
from limosa_contracts.rollout.spec import RolloutSpec, Selection
from limosa_contracts.rollout.timeouts import AtEnd, Timeouts
from limosa_contracts.rollout.waves import WaveSpec
from limosa_contracts.status import Status
from limosa_contracts.topics import PREFIX, Suffix
from limosa_contracts.window import Window
from limosa_server.access.roles import ROLE_NAMES
from limosa_server.core.planning.rollout_file import parse_rollout_toml
from limosa_server.core.rollout import Pause, RolloutStatus
from limosa_server.metrics import make_metrics
from limosa_server.pages.routers import PAGE_ROUTERS
from tests.docs.pages import DOCS, ROOT, fences, generator, page


def test_every_command_and_option_stands_in_the_reference() -> None:
    text = page("reference/cli.md")
    for row in TABLE:
        assert f"### limosa {row.name}\n" in text
        for parameter in load(row).params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[-1] in text, f"limosa {row.name} {parameter.opts}"
    for name, command in agent_group.commands.items():
        assert command.hidden or f"### limosa-agent {name}\n" in text


def test_every_error_code_stands_in_the_reference() -> None:
    text = page("reference/errors.md")
    assert [code for code in all_errors() if f"## {code}\n" not in text] == []


def test_every_key_of_the_agents_configuration_stands_in_the_reference() -> None:
    text = page("reference/agent-toml.md")
    names = [field.name for kind in (AgentConfig, AgentLimits) for field in dataclasses.fields(kind)]
    assert [name for name in names if f"| `{name}` |" not in text] == []


def test_defaults_of_the_agents_configuration_are_those_of_the_code() -> None:
    text = page("reference/agent-toml.md")
    for kind in (AgentConfig, AgentLimits):
        for field in dataclasses.fields(kind):
            if isinstance(field.default, (int, float)) and not isinstance(field.default, bool):
                assert re.search(rf"\| `{field.name}` \| [a-z]+ \| {field.default:.0f} \|", text), field.name


PARTIES = ("contracts", "compiler", "fleet_server", "agent", "devices")

LEAST_RECIPE: Mapping[str, JsonValue] = {
    "name": "a/b",
    "version": "1.0.0",
    "model": "m.onnx",
    "targets": ["rpi4"],
    "data": {"calibration": "c.npz", "evaluation": "e.npz"},
}
"""What an example of one block leaves out."""


LEAST_ROLLOUT: Mapping[str, JsonValue] = {"release": "a/b@1.0.0", "group": "g"}


def test_every_key_of_a_recipe_stands_in_the_reference() -> None:
    text = page("reference/limosa-toml.md")
    tables = {"output": "metric"}
    renamed = {"release": "name", "metric": "metric.name", "tune_share": "metric.tune_share"}
    apart = {"data", "gate", "inputs", "processing", "search", "prune"}
    for field in dataclasses.fields(Recipe):
        if field.name not in apart:
            key = renamed.get(field.name) or ".".join(filter(None, (tables.get(field.name), field.name)))
            assert f"| `{key}` |" in text, key
    assert all(f"`gate.{field.name}`" in text for field in dataclasses.fields(Gate))
    assert all(f"`data.{field.name}`" in text for field in dataclasses.fields(DataNotes))
    assert all(f"| `{field.name}` |" in text for field in dataclasses.fields(SearchNotes))
    assert all(f"| `prune.{field.name}` |" in text for field in dataclasses.fields(PruneNotes))
    assert all(f"`inputs.NAME.{field.name}`" in text for field in dataclasses.fields(InputNotes))
    assert all(f"| `{step}` |" in text for step in {**PREPROCESS, **POSTPROCESS})


def test_every_field_of_a_rollout_stands_in_the_reference() -> None:
    text = page("reference/rollout-file.md")
    spec = RolloutSpec(
        release=ReleaseName.parse("a/b@1.0.0"),
        group="g",
        waves=(WaveSpec(name="w", percent=1, count=1, min_devices=1),),
        target_selection=Selection.CONTINUOUS,
        priority=1,
        rate=Rate(max_in_progress=1, max_bytes_per_second=1, exponential=Exponential(base_per_minute=1)),
        timeouts=Timeouts(download_stall_s=1, verify_s=1, end_s=1),
        retry=Retry(attempts=1),
        schedule=Schedule.parse(
            Fields(
                {
                    "start": "2026-12-01T02:00:00Z",
                    "maintenance_windows": [{"cron": "0 2 * * *", "duration": "2h"}],
                },
                where="schedule",
            )
        ),
        approval=Approval(),
        abort=(AbortRule(min_executed=1, hard_stop_count=1),),
        on_failure=OnFailure(to="1.0.0"),
        control=Control(percent=10),
        analysis=(AnalysisRule(metric="latency", margin=0.1),),
        on_inconclusive=OnInconclusive.PAUSE,
    )
    for key in {*_keys(spec.as_json()), "selector", "target_selection"}:
        assert f"| `{key}` |" in text or f"[{key}]" in text, key
    for kind in (Failure, Action, Scope, Direction, NoData, OnInconclusive, Selection, AtEnd, Pause):
        assert [value.value for value in kind if value.value and f"`{value.value}`" not in text] == []
    assert [name for name in METRICS if f"| `{name}` |" not in text] == []


def _keys(value: object) -> Iterator[str]:
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        yield str(key)
        yield from _keys(inner[0] if isinstance(inner, list) else inner)


def test_every_topic_and_schema_stands_in_the_reference() -> None:
    text = page("reference/mqtt.md")
    assert [suffix for suffix in Suffix if f"`{PREFIX}/{{device}}/{suffix.value}`" not in text] == []
    kinds: Mapping[str, tuple[type, ...]] = {
        "desired": (DesiredState, DesiredModel),
        "reported": (Reported, ReportedModel, Installed),
        "event": (UpdateEvent, Reason),
        "window": (Window,),
        "status": (Status,),
        "ack": (Ack,),
        "command": (DeviceCommand,),
        "answer": (CommandAnswer,),
    }
    for schema, parts in kinds.items():
        told = text.partition(f"**`limosa.{schema}/1`**")[2].partition("**`limosa.")[0]
        names = {field.name for part in parts for field in dataclasses.fields(part)} - {"extra", "sketch"}
        assert sorted(name for name in names if f"`{name}`" not in told) == [], schema


def test_every_metric_and_no_other_stands_in_the_reference() -> None:
    families = list(make_metrics().registry.collect())
    names = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    told = set(re.findall(r"^\| `(limosa_\w+)` \|", page("reference/metrics.md"), re.MULTILINE))
    # those of a device are held to its code where its text is made: tests/agent/telemetry/test_metrics.py
    assert {name for name in told if not name.startswith(("limosa_agent_", "limosa_serving_"))} == names


def test_every_role_and_variable_is_told() -> None:
    api = page("reference/http-api.md")
    assert [role for role in ROLE_NAMES if f"| `{role}` |" not in api] == []
    everything = "".join(path.read_text() for path in DOCS.rglob("*.md"))
    sources = "".join(path.read_text() for name in PARTIES for path in (ROOT / name).rglob("*.py"))
    assert [name for name in set(re.findall(r'"(LIMOSA_[A-Z_]+)"', sources)) if name not in everything] == []


def test_every_reason_that_a_device_gives_is_explained_to_the_operator() -> None:
    text = page("how-to/when-a-rollout-stops.md")
    sources = "".join(path.read_text() for path in (ROOT / "agent").rglob("*.py"))
    named = re.compile(
        r'Reason\(\s*code="(\w+)"|_reason\(facts, "(\w+)"|reason_code = "(\w+)"|"LM-5\d\d": "(\w+)"'
    )
    codes = {name for found in named.findall(sources) for name in found if name}
    assert len(codes) > 15
    assert sorted(code for code in codes if f"`{code}`" not in text) == []


@pytest.mark.parametrize("name", ["errors.md", "cli.md"])
def test_generated_pages_say_that_they_are(name: str) -> None:
    assert page(f"reference/{name}").startswith("<!-- Made by `make docs`")


def test_drawings_and_tables_are_as_the_code_makes_them() -> None:
    generate: ModuleType = generator()
    for (name, part), make in generate.PARTS.items():
        text = page(name)
        assert generate.with_part(text, part, make()) == text, f"{name}: {part}: run `make docs`"


def test_examples_of_configuration_are_accepted(tmp_path: Path) -> None:
    for block in fences("reference/agent-toml.md", "toml"):
        AgentConfig.parse(block)
    guides = [f"how-to/{path.name}" for path in (DOCS / "how-to").glob("compile-a*-model.md")]
    guides += ["how-to/build-for-litert.md", "how-to/build-for-a-board-of-your-own.md"]
    assert len(guides) == 7
    for name in ("reference/limosa-toml.md", "how-to/publish-a-model.md", *guides):
        for block in fences(name, "toml"):
            Recipe.parse({**LEAST_RECIPE, **tomllib.loads(block)}, folder=tmp_path)
    for block in fences("how-to/enrol-a-device.md", "toml"):
        AgentConfig.parse(block)
    for name in ("reference/rollout-file.md", "how-to/write-a-rollout-file.md"):
        for block in fences(name, "toml"):
            RolloutSpec.parse({**LEAST_ROLLOUT, **parse_rollout_toml(block, where="rollout-file.md")})


def test_worked_numbers_hold() -> None:
    finder = doctest.DocTestParser()
    runner = doctest.DocTestRunner()
    for path in DOCS.rglob("*.md"):
        if ">>> " in path.read_text():
            runner.run(finder.get_doctest(path.read_text(), {}, path.name, str(path), 0))
    assert runner.tries > 0
    assert runner.failures == 0


def test_commands_on_pages_exist_with_their_options() -> None:
    wrong: list[str] = []
    for path in (*DOCS.rglob("*.md"), *ROOT.glob("*.md")):
        for block in re.findall(
            r"^```(?:console|sh)\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL
        ):
            wrong += [f"{path.name}: {line}" for line in _commands(block) if not _exists(line)]
    assert wrong == []


def test_commands_within_sentences_and_help_exist_with_their_options() -> None:
    apart = {DOCS / "reference/cli.md", *(DOCS / "design").iterdir()}  # made from the help; plans ahead
    pages = [path for path in DOCS.rglob("*.md") if path not in apart]
    sources = [path for name in PARTIES for path in (ROOT / name).rglob("*.py")]
    wrong: list[str] = []
    for path in (*pages, *sources):
        found = re.findall(r"`((?:limosa|limosa-agent) [^`…|;&<>()#{]*)`", path.read_text(encoding="utf-8"))
        wrong += [f"{path.name}: {line}" for line in found if not _exists(line)]
    for row in TABLE:
        found = re.findall(
            r"^ *((?:limosa|limosa-agent) [^|;&<>()#…]*?)$", load(row).help or "", re.MULTILINE
        )
        wrong += [f"limosa {row.name} --help: {line}" for line in found if not _exists(line)]
    assert wrong == []


def test_every_page_of_the_dashboard_stands_in_the_reference() -> None:
    text = page("reference/dashboard.md")
    apart = ("/json/", "/static/", "/events/", "/login")
    paths = {
        route.path.replace(":path", "")
        for router in PAGE_ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and "GET" in (route.methods or ())
    }
    assert {"/", "/rollouts/plan"} <= paths
    assert sorted(path for path in paths if not path.startswith(apart) and f"`{path}`" not in text) == []


def test_every_status_of_a_rollout_is_explained_to_whoever_is_woken() -> None:
    text = page("how-to/when-a-rollout-stops.md")
    passing = {RolloutStatus.VALIDATING}  # for a moment, by itself
    assert sorted(status.name for status in set(RolloutStatus) - passing if status.name not in text) == []
    assert [cause.value for cause in Pause if cause.value and cause.value not in text] == []


def test_commands_of_examples_exist_with_their_options_and_name_no_secret() -> None:
    examples = sorted((DOCS / "examples").glob("*.yml"))
    assert examples
    for path in examples:
        lines = _runs(yaml.safe_load(path.read_text(encoding="utf-8")))
        assert lines, f"{path.name} runs nothing"
        assert [line for line in lines if not _exists(re.sub(r"\$\{[^}]*\}", "1.0.0", line))] == []
        assert [line for line in lines if "secrets." in line] == []


def _runs(document: object) -> list[str]:
    """Every line under a key `run` that begins with `limosa`."""
    if isinstance(document, dict):
        own = document.get("run")
        lines = own.splitlines() if isinstance(own, str) else []
        return [line for line in lines if line.startswith("limosa ")] + [
            line for value in document.values() for line in _runs(value)
        ]
    if isinstance(document, list):
        return [line for value in document for line in _runs(value)]
    return []


def _commands(block: str) -> Iterator[str]:
    joined = block.replace("\\\n", " ")
    for line in joined.splitlines():
        for found in re.findall(
            r"(?:^|[\s($])((?:limosa|limosa-agent) [^|;&<>()#…]*)", line.removeprefix("$ ")
        ):
            yield found.strip()


def _exists(line: str) -> bool:
    words = shlex.split(line.replace("'", "").replace('"', ""))
    command: click.Command = agent_group if words[0] == "limosa-agent" else make_host()
    rest = words[1:]
    context = click.Context(command)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        default = DEFAULT_OF_NOUN.get(str(command.name))
        word = rest[0] if default is None or rest[0] in command.list_commands(context) else default
        rest = rest[1:] if word == rest[0] else rest
        following = command.get_command(context, word)
        if following is None:
            return False
        command = following
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
    return all(word.partition("=")[0] in known for word in rest if word.startswith("--"))

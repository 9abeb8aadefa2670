"""The shape of the house: what no linter checks and every file has to keep."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import tomllib
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from limosa_contracts.cli_learn import all_errors

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "limosa_contracts": ROOT / "contracts/limosa_contracts",
    "limosa_compiler": ROOT / "compiler/limosa_compiler",
    "limosa_server": ROOT / "fleet_server/limosa_server",
    "limosa_agent": ROOT / "agent/limosa_agent",
    "limosa_devices": ROOT / "devices/limosa_devices",
}
MAX_LINES = 400
FIRST_SCHEMA = "fleet_server/limosa_server/store/migrations/versions/r0001_first.py"
LONGER = {FIRST_SCHEMA: "a list of tables, written once by Alembic and never edited again"}
"""Path -> why this one file, and its functions, are longer; empty is best."""
MAX_FUNCTION_LINES = 60  # under 40 is the aim; a test says so only where it is clearly left
BAD_NAMES = re.compile(r"class \w*(Manager|Helper|Utils)\b|def process\(")
NOT_PURE = re.compile(r"cli(_\w+)?|__init__")
"""Modules of limosa_contracts that are not on the list of pure modules: the command-line host."""
SKIPPED_FOLDERS = {".venv", ".git", "__pycache__", "build", "dist", "vendor", "out"}


def sources(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            if not SKIPPED_FOLDERS & set(path.relative_to(ROOT).parts):
                yield path


def house() -> Iterator[Path]:
    return sources(*(folder.parent for folder in PACKAGES.values()))


def settings() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("package", PACKAGES)
def test_package_publishes_its_types(package: str) -> None:
    assert (PACKAGES[package] / "py.typed").is_file()


def test_no_file_is_longer_than_one_idea() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in sources(
            *(folder.parent for folder in PACKAGES.values()), ROOT / "tests", ROOT / "benchmarks"
        )
    }
    longer = {path: lines for path, lines in lengths.items() if lines > MAX_LINES}
    assert longer.keys() == LONGER.keys()


def test_no_function_is_longer_than_a_page() -> None:
    longer = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name} {node.end_lineno - node.lineno + 1}"
        for path in house()
        if str(path.relative_to(ROOT)) not in LONGER
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None
        if node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert longer == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in house()
        if path.read_text().strip() and ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert silent == []


def test_names_say_what_a_thing_is() -> None:
    vague = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in house()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if BAD_NAMES.search(line)
    ]
    assert vague == []


def test_nothing_is_left_to_do_and_every_exception_has_its_reason() -> None:
    unfinished = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    silenced = re.compile(r"# (?:type: ignore|noqa)(?:\[[\w, -]+\]|: ?[A-Z0-9, ]+)?(?P<rest>.*)$")
    found: list[str] = []
    for path in sources(
        *(folder.parent for folder in PACKAGES.values()), ROOT / "tests", ROOT / "benchmarks"
    ):
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            silence = silenced.search(line)
            if unfinished.search(line) or (silence and not re.search(r"\w{3}", silence["rest"])):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert found == []


def test_every_error_code_stands_in_an_errors_module_and_is_found_by_explain() -> None:
    coded = re.compile(r'^    code(?:: ClassVar\[str\])? = "(LM-\d+)"', re.MULTILINE)
    written: dict[str, str] = {}
    for path in house():
        for code in coded.findall(path.read_text()):
            place = str(path.relative_to(ROOT))
            assert path.name == "errors.py", f"{code} is defined in {place}"
            assert code not in written, f"{code} is in {written[code]} and in {place}"
            written[code] = place
    assert set(written) == set(all_errors())


def test_every_error_has_a_summary_and_a_code_of_its_family() -> None:
    for code, error in all_errors().items():
        assert re.fullmatch(r"LM-\d{3}", code)
        assert error.summary, code
        assert not error.summary.endswith("."), code


def test_every_module_of_contracts_is_checked_for_purity() -> None:
    linter = settings()["tool"]["importlinter"]["contracts"]  # type: ignore[index]  # TOML is untyped
    listed = {module for contract in linter for module in contract.get("source_modules", [])}
    package = PACKAGES["limosa_contracts"]
    pure = {
        ".".join(("limosa_contracts", *path.relative_to(package).with_suffix("").parts))
        for path in package.rglob("*.py")
        if not NOT_PURE.fullmatch(path.stem)
    }
    assert pure - listed == set(), "add them to the pure modules in pyproject.toml"


def test_every_module_of_mqtt_has_its_floor_in_the_server() -> None:
    """import-linter sees to all folders that lie on one floor; this one lies on two."""
    linter = settings()["tool"]["importlinter"]["contracts"]  # type: ignore[index]  # TOML is untyped
    layers = [layer for contract in linter for layer in contract.get("layers", [])]
    named = {module for layer in layers for module in layer.split(" : ")}
    folder = PACKAGES["limosa_server"] / "mqtt"
    there = {f"mqtt.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__"}
    assert there - named == set(), "give them a floor in pyproject.toml"


@pytest.mark.parametrize("package", PACKAGES)
def test_worked_examples_in_docstrings_hold(package: str) -> None:
    folder = PACKAGES[package]
    for path in sources(folder):
        if ">>> " in path.read_text():
            relative = path.relative_to(folder.parent).with_suffix("")
            result = doctest.testmod(importlib.import_module(".".join(relative.parts)))
            assert result.failed == 0, relative


@pytest.mark.parametrize("page", ["errors.md", "cli.md", "limits.md"])
def test_reference_page_is_what_the_code_says(page: str) -> None:
    spec = spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = module_from_spec(spec)
    spec.loader.exec_module(generate)
    made = generate.PAGES[page]()
    assert generate.NOT_THERE == []
    assert (ROOT / "docs/reference" / page).read_text() == made, "run `make docs`"


def test_links_between_pages_lead_somewhere() -> None:
    link = re.compile(r"\]\(([^)\s]+)\)")
    broken: list[str] = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in link.findall(page.read_text()):
            if "://" in target or target.startswith(("#", "mailto:")):
                continue
            if not (page.parent / target.partition("#")[0]).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []

"""The wheel: what is in it, and that each extra alone is enough for its party (architecture 2)."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.programs import unavailable

ROOT = Path(__file__).parent.parent
SOURCES = {
    "limosa_contracts": ROOT / "contracts",
    "limosa_compiler": ROOT / "compiler",
    "limosa_server": ROOT / "fleet_server",
    "limosa_agent": ROOT / "agent",
    "limosa_devices": ROOT / "devices",
}
NOT_SHIPPED = {"__pycache__", ".ruff_cache", ".mypy_cache"}
PARTY_OF_EXTRA = {"compiler": "limosa_compiler", "server": "limosa_server", "agent": "limosa_agent"}
TOO_HEAVY = {
    "agent": ("onnx", "fastapi", "sqlmodel", "scipy", "torch", "httpx"),
    "server": ("onnx", "scipy", "torch"),
    "compiler": ("fastapi", "sqlmodel", "torch", "uvicorn"),
}
NO_INDEX = ("Could not find a version", "No matching distribution", "ConnectionError", "Max retries")
IMPORT_ALL = """
import importlib, importlib.util, pkgutil, sys
package, heavy = sys.argv[1], sys.argv[2].split(",")
top = importlib.import_module(package)
for found in pkgutil.walk_packages(top.__path__, package + "."):
    apart = found.name.endswith(("__main__", "migrations.env")) or ".litert.environment" in found.name
    if not apart:  # scripts: Python, Alembic and the LiteRT environment run them
        importlib.import_module(found.name)
for name in heavy:
    assert importlib.util.find_spec(name) is None, name + " came with the extra"
    assert name not in sys.modules
"""

pytestmark = pytest.mark.xdist_group("packaging")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "-qq", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    (made,) = folder.glob("limosa-*.whl")
    return made


def run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=280, check=False
    )
    if done.returncode == 0:
        return
    said = done.stdout + done.stderr
    if any(text in said for text in NO_INDEX):
        unavailable(f"pip reaches no package index: {said[-300:]}")
    raise AssertionError(f"{command} ended with {done.returncode}:\n{said[-3000:]}")


def test_wheel_holds_every_file_of_the_five_packages(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith("limosa-")}
    expected = {
        str(path.relative_to(root))
        for package, root in SOURCES.items()
        for path in (root / package).rglob("*")
        if path.is_file() and not NOT_SHIPPED & set(path.parts) and path.suffix != ".pyc"
    }
    assert inside == expected
    assert {f"{package}/py.typed" for package in SOURCES} <= inside


def test_wheel_brings_both_scripts_the_licence_and_the_entry_points(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (entry_points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    text = archive.read(entry_points).decode()
    assert "limosa = limosa_contracts.cli:main" in text
    assert "limosa-agent = limosa_agent.cli:main" in text
    for group in ("limosa.commands", "limosa.errors", "limosa.profiles"):
        assert f"[{group}]" in text
    assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


@pytest.mark.timeout(290)
def test_each_extra_alone_is_enough_for_every_module_of_its_party(wheel: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(max_workers=2) as pool:
        for _ in pool.map(lambda extra: install_and_import(extra, wheel, tmp_path), PARTY_OF_EXTRA):
            pass


def install_and_import(extra: str, wheel: Path, folder: Path) -> None:
    environment = folder / extra
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin/python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "-qq")
    run(*pip, "install", "--no-compile", "-c", ROOT / "constraints.txt", f"{wheel}[{extra}]")
    run(python, "-W", "error", "-c", IMPORT_ALL, PARTY_OF_EXTRA[extra], ",".join(TOO_HEAVY[extra]))
    run(environment / "bin/limosa", "--help")

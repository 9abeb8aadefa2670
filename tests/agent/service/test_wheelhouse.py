"""A device without a network: everything it needs is in one folder (agent 7)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import unavailable

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "agent" / "wheelhouse.sh"
NO_INDEX = ("Could not find a version", "No matching distribution", "ConnectionError", "Max retries")


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={**os.environ, "PYTHON": sys.executable, **environment},
    )


@pytest.mark.parametrize("words", [(), ("--colour", "red", "out")])
def test_wheelhouse_without_a_place_or_with_an_unknown_option_is_a_mistake_of_usage(
    words: tuple[str, ...],
) -> None:
    assert run("bash", SCRIPT, *words).returncode == 2


@pytest.mark.soak
@pytest.mark.xdist_group("packaging")
@pytest.mark.timeout(1800)
def test_agent_is_installed_from_the_wheelhouse_alone_and_goes_again(tmp_path: Path) -> None:
    made = run("bash", SCRIPT, tmp_path / "wheels")
    if made.returncode != 0 and any(text in made.stderr for text in NO_INDEX):
        unavailable(f"pip reaches no package index: {made.stderr[-300:]}")
    assert made.returncode == 0, made.stderr
    environment = tmp_path / "limosa"
    assert run(sys.executable, "-m", "venv", environment).returncode == 0
    pip = (environment / "bin" / "pip", "--disable-pip-version-check", "-q", "install")
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels"), "PIP_CONFIG_FILE": os.devnull}
    installed = run(*pip, "limosa[agent]", **offline)
    assert installed.returncode == 0, installed.stderr
    program = environment / "bin" / "limosa-agent"
    config = tmp_path / "agent.toml"
    config.write_text(f'server = "https://fleet.example"\nstate_dir = "{tmp_path / "state"}"\n')
    assert run(program, "--version").returncode == 0
    said = run(program, "run", "--config", config)
    assert (said.returncode, "LM-501" in said.stderr) == (2, True), (
        "it runs as far as a device without identity"
    )
    root = ("--root", tmp_path / "root", "--config", config)
    if not (tmp_path.is_relative_to("/home") or tmp_path.is_relative_to("/root")):
        written = run(program, "install-service", "--program", "/opt/limosa/bin/limosa-agent", *root)
        assert written.returncode == 0, written.stderr
    assert run(program, "uninstall", "--yes", *root).returncode == 0
    assert not config.exists()
    assert [path for path in (tmp_path / "root").rglob("*") if not path.is_dir()] == []

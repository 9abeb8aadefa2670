"""Every shell block of each tutorial, in order, in one shell; and what the page says they print."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.processes import BIN, Processes
from tests.support.programs import require_program

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = ROOT / "docs/tutorials"
FENCE = re.compile(r"^```(?P<kind>sh|text)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "== block {} =="
TIMEOUT_S = 420  # each takes less than a minute where nothing else runs


@dataclass(frozen=True, slots=True)
class Block:
    script: str
    shown: Sequence[str]


def blocks(page: str) -> list[Block]:
    """Each `sh` block with the lines of the `text` block that follows it at once."""
    found: list[Block] = []
    for fence in FENCE.finditer(page):
        if fence["kind"] == "sh":
            found.append(Block(fence["body"], ()))
        else:
            assert found, "a text block before any sh block"
            assert not found[-1].shown, f"two text blocks after\n{found[-1].script}"
            found[-1] = Block(found[-1].script, fence["body"].splitlines())
    return found


def fits(shown: str, printed: str) -> bool:
    """`…` stands for anything, and any white space for any other.

    >>> fits("wave rest … 0/1 …", "wave rest   in_progress  0/1  waits")
    True
    """
    words = [r"\s*".join(map(re.escape, part.split())) for part in shown.split("…")]
    return re.search(r".*".join(f"\\s*{part}\\s*" for part in words), printed) is not None


def missing(block: Block, printed: str) -> list[str]:
    """What the page shows and the block did not print; progress on stderr may come between the lines."""
    lines = printed.splitlines()
    return [shown for shown in block.shown if not any(fits(shown, line) for line in lines)]


def script_of(found: Sequence[Block]) -> str:
    parts = ["set -euo pipefail"]
    for number, block in enumerate(found):
        parts += [f"printf '\\n%s\\n' '{MARK.format(number)}'", block.script]
    return "\n".join(parts)


def first_of_a_row(count: int) -> int:
    """A port with free ones after it (the page counts up), below those that connections get by themselves."""
    for _ in range(100):
        first = 20_000 + free_port() % 10_000
        if all(is_free(first + step) for step in range(1, count + 1)):
            return first
    raise AssertionError("no row of free ports")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@pytest.mark.xdist_group("tutorial")
@pytest.mark.timeout(TIMEOUT_S + 60)
@pytest.mark.parametrize("name", ["first-fleet.md", "first-canary.md"])
def test_a_tutorial_does_what_it_says(processes: Processes, tmp_path: Path, name: str) -> None:
    require_program("curl")
    found = blocks((TUTORIALS / name).read_text(encoding="utf-8"))
    folder = tmp_path / "reader"
    folder.mkdir()
    ports = {name: str(free_port()) for name in ("SERVER_PORT", "MQTT_PORT", "PORT_1", "PORT_2")}
    ports["PORT"] = str(first_of_a_row(4))
    shell = processes.start(
        ["bash", "-c", script_of(found)],
        name="tutorial",
        cwd=folder,
        env={**ports, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1", "NO_PROXY": "127.0.0.1"},
    )
    code = shell.wait(timeout_s=TIMEOUT_S)
    log = shell.log()
    assert code == 0, log[-4000:]
    outputs = re.split(r"^== block \d+ ==$", log, flags=re.MULTILINE)[1:]
    assert len(outputs) == len(found)
    for block, printed in zip(found, outputs, strict=True):
        assert missing(block, printed) == [], f"{block.script}\nprinted\n{printed}"


def test_the_readme_shows_what_its_lines_print(processes: Processes, tmp_path: Path) -> None:
    block = next(
        found for found in CONSOLE.findall((ROOT / "README.md").read_text()) if "$ limosa build" in found
    )
    lines = block.splitlines()
    script = [line.removeprefix("$ ") for line in lines if line.startswith("$ ") and "export" not in line]
    shell = processes.start(
        ["bash", "-ec", "\n".join(script)],
        name="readme",
        cwd=tmp_path,
        env={"PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"},
    )
    assert shell.wait(timeout_s=60) == 0, shell.log()
    shown = [line for line in lines if line and not line.startswith("$ ")]
    assert missing(Block(block, shown), shell.log()) == []


def test_a_reader_is_not_told_what_no_command_prints() -> None:
    block = Block("echo one", ["one", "two …"])
    assert missing(block, "one\n") == ["two …"]
    assert missing(block, "one\ntwo  three\n") == []

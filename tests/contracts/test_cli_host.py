"""`limosa` as a process: help imports no party, readers may go, shells complete."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from importlib.metadata import entry_points

import click
import pytest

from limosa_contracts.cli_host import make_host
from limosa_contracts.command_table import EXTRA_OF_PARTY, NOUNS, SECTIONS, TABLE, first_words
from limosa_contracts.errors import MissingDependency
from tests.support.processes import script

LIMOSA = script("limosa")
PARTIES = ("limosa_compiler", "limosa_server", "limosa_agent", "limosa_devices")
HEAVY = ("onnx", "onnxruntime", "fastapi", "sqlmodel", "numpy", "tuf", "httpx", "rich", "paho")


def limosa(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "LIMOSA_DEBUG")}
    return subprocess.run(
        [LIMOSA, *args], capture_output=True, text=True, timeout=60, env=inherited | env, check=False
    )


def at_a_terminal(*args: str, **env: str) -> str:
    """What `limosa` prints when its stdout is a terminal."""
    leader, follower = pty.openpty()
    inherited = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    with subprocess.Popen([LIMOSA, *args], stdout=follower, stderr=follower, env=inherited | env):
        os.close(follower)
        read = b""
        while chunk := _read(leader):
            read += chunk
    os.close(leader)
    return read.decode()


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 4096)
    except OSError:  # Linux: EIO when the other side has closed
        return b""


@pytest.mark.parametrize("words", [["--help"], ["rollout", "--help"], ["--version"], ["explain", "LM-203"]])
def test_help_imports_no_party_and_no_heavy_library(words: list[str]) -> None:
    program = (
        "import sys\n"
        "from limosa_contracts.cli import run\n"
        "from limosa_contracts.cli_host import make_host\n"
        f"code = run(make_host(), prog_name='limosa', args={words!r})\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        f"parties = {() if words[0] == 'explain' else PARTIES!r}\n"
        f"sys.exit(code or sorted(names & set((*parties, *{HEAVY!r}))) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_help_lists_every_first_word_under_its_section() -> None:
    shown = limosa("--help").stdout
    places = [shown.index(f"\n{section}:\n") for section in SECTIONS]
    assert places == sorted(places)
    for section in SECTIONS:
        for first in first_words(section):
            assert f"\n  {first} " in shown


def test_help_is_coloured_at_a_terminal_unless_the_user_says_no() -> None:
    assert "\x1b[" in at_a_terminal("--help")
    assert "\x1b[" not in at_a_terminal("--help", NO_COLOR="1")
    assert "\x1b[" not in limosa("--help").stdout


def test_table_has_each_command_once_and_each_noun_a_summary() -> None:
    assert len({row.path for row in TABLE}) == len(TABLE)
    assert {row.path[0] for row in TABLE if len(row.path) > 1} == set(NOUNS)
    assert {row.party for row in TABLE} <= set(EXTRA_OF_PARTY)
    for row in TABLE:
        assert row.example.startswith(f"limosa {row.name}"), row
        assert not row.summary.endswith("."), row


@pytest.mark.parametrize("name", [row.name for row in TABLE])
def test_every_command_of_the_table_exists_with_json_and_examples(name: str) -> None:
    host = make_host()
    context = click.Context(host, info_name="limosa")
    found: click.Command | None = host
    for word in name.split():
        assert isinstance(found, click.Group)
        found = found.get_command(context, word)
    assert found is not None
    assert getattr(found, "examples", ())
    names = {name for parameter in found.params for name in parameter.opts}
    assert "--json" in names or name == "completion"


@pytest.mark.parametrize("party", sorted(set(EXTRA_OF_PARTY) - {"host"}))
def test_no_party_has_a_command_that_the_table_does_not_know(party: str) -> None:
    known = {row.name for row in TABLE if row.party == party} | set(NOUNS)
    (found,) = entry_points(group="limosa.commands", name=party)
    assert set(found.load()) <= known


def test_missing_third_party_module_is_a_coded_error_with_the_extra() -> None:
    program = (
        "import sys\n"
        "for name in ('fastapi', 'sqlmodel', 'onnx', 'onnxruntime', 'numpy', 'uvicorn', 'httpx', 'tuf'):\n"
        "    sys.modules[name] = None\n"
        "from limosa_contracts.cli import main\n"
        "main()\n"
    )
    server, compiler = ["server", "run", "--data", "fleet"], ["publish", "motion-1.0.0.limosa"]
    for words, extra in ((server, "server"), (compiler, "compiler")):
        done = subprocess.run(
            [sys.executable, "-c", program, *words, "--json"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        error = json.loads(done.stdout.splitlines()[-1])["error"]
        assert error["code"] == MissingDependency.code
        assert error["hint"] == f'pip install "limosa[{extra}]"'


def test_reader_that_has_seen_enough_gets_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([LIMOSA, "explain"], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 1


def test_unknown_command_is_a_usage_error() -> None:
    done = limosa("rolout", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "LM-415"
    assert "did you mean 'rollout'?" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed(shell: str) -> None:
    done = limosa("completion", shell)
    assert done.returncode == 0
    assert "_LIMOSA_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("limosa ro", {"rollout"}),
        ("limosa rollout st", {"start", "status"}),
        ("limosa --vers", {"--version"}),
    ],
)
def test_shell_completes_names_from_the_table(typed: str, offered: set[str]) -> None:
    words = typed.split(" ")
    done = limosa(_LIMOSA_COMPLETE="bash_complete", COMP_WORDS=typed, COMP_CWORD=str(len(words) - 1))
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == offered


def test_explain_says_what_a_code_means_and_what_to_do() -> None:
    done = limosa("explain", "lm-203", "--json")
    said = json.loads(done.stdout)
    assert (said["code"], said["exit_code"], said["http_status"]) == ("LM-203", 5, 403)
    assert said["next"].startswith("Refuse")
    assert limosa("explain", "203").stdout == limosa("explain", "LM-203").stdout
    assert limosa("explain", "LM-999").returncode == 2


def test_version_is_that_of_the_distribution() -> None:
    assert json.loads(limosa("version", "--json").stdout)["limosa"] == "0.1.0"
    assert limosa("--version").stdout == limosa("version").stdout

"""The command-line host, in this process: errors, exit codes, answers."""

from __future__ import annotations

import json

import click
import pytest

from limosa_contracts.cli import answer, columns, command, group, json_option, progress, run
from limosa_contracts.errors import (
    Internal,
    InvalidField,
    NotAuthorised,
    SignatureMismatch,
    TimedOut,
    Unreachable,
)

RAISED: dict[str, BaseException] = {
    "field": InvalidField("it is wrong", where="gate", why="too large", hint="limosa rollout plan --help"),
    "role": NotAuthorised("the token may only read"),
    "signature": SignatureMismatch("signed with another key", where="kws-7.limosa"),
    "server": Unreachable("nobody answers", where="http://127.0.0.1:1"),
    "time": TimedOut("no verdict"),
    "module": ModuleNotFoundError("No module named 'fastapi'", name="fastapi"),
    "old module": ImportError("cannot import name 'x' from 'onnx.y'", name="onnx.y"),
    "own module": ModuleNotFoundError("No module named 'limosa_server.x'", name="limosa_server.x"),
    "bug": ZeroDivisionError("division by zero"),
    "interrupt": KeyboardInterrupt(),
    "disk": OSError(28, "No space left on device", "big.bin"),
    "file": FileNotFoundError(2, "No such file or directory", "recipe.toml"),
}


@group("tool", examples=["tool act"])
def tool() -> None:
    """Stands for a party."""


@tool.command("act", examples=["tool act --raise bug  # breaks", "tool act --json"])
@click.option("--raise", "name")
@click.option("--return", "code", type=int)
@json_option
def act(name: str | None, code: int | None, as_json: bool) -> int | None:
    """Does one thing.

    Longer text stands below the examples.
    """
    progress("working")
    if name is not None:
        raise RAISED[name]
    answer({"b": 1, "a": "é"}, as_json=as_json, text=lambda: "done")
    return code


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIMOSA_DEBUG", raising=False)


def call(*args: str) -> int:
    return run(tool, prog_name="tool", args=args, extra="server")


@pytest.mark.parametrize(
    ("name", "exit_code", "code"),
    [
        ("field", 2, "LM-410"),
        ("role", 4, "LM-401"),
        ("signature", 5, "LM-203"),
        ("server", 6, "LM-301"),
        ("time", 7, "LM-303"),
        ("module", 1, "LM-101"),
        ("old module", 1, "LM-101"),
        ("own module", 1, "LM-102"),
        ("bug", 1, "LM-102"),
        ("interrupt", 130, "LM-130"),
        ("disk", 1, "LM-103"),
        ("file", 1, "LM-103"),
    ],
)
def test_every_failure_has_a_code_an_exit_code_and_no_traceback(
    name: str, exit_code: int, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("act", "--raise", name) == exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert f"error[{code}]: " in err
    assert f"limosa explain {code}" in err
    assert "Traceback" not in err

    assert call("act", "--json", "--raise", name) == exit_code
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["error"]["code"] == code
    assert f"error[{code}]: " in err


def test_error_says_what_where_why_and_a_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    call("act", "--raise", "field")
    assert capsys.readouterr().err.splitlines()[1:] == [
        "error[LM-410]: it is wrong",
        "  where: gate",
        "  why: too large",
        "hint: limosa rollout plan --help      (see: limosa explain LM-410)",
    ]


def test_missing_dependency_names_the_extra_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    call("act", "--raise", "module")
    assert 'hint: pip install "limosa[server]"' in capsys.readouterr().err


def test_traceback_of_a_bug_comes_only_when_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call("act", "--raise", "bug")
    assert "LIMOSA_DEBUG=1" in capsys.readouterr().err
    monkeypatch.setenv("LIMOSA_DEBUG", "1")
    call("act", "--raise", "bug")
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [("act", "--nonsense"), ("nonsense",), ("act", "--return", "x"), ("act", "extra"), ("act", "--return")],
)
def test_command_line_that_makes_no_sense_ends_with_2(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*words) == 2
    assert "error[LM-415]: " in capsys.readouterr().err
    assert call(*words, "--json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "LM-415"


def test_misspelt_command_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    call("akt")
    assert "did you mean 'act'?" in capsys.readouterr().err


def test_answer_is_on_stdout_and_progress_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("act") == 0
    assert capsys.readouterr() == ("done\n", "working\n")
    assert call("act", "--json") == 0
    assert capsys.readouterr() == ('{"a": "é", "b": 1}\n', "working\n")


@pytest.mark.parametrize("code", [0, 3])
def test_exit_code_is_what_the_command_returns(code: int) -> None:
    assert call("act", "--return", str(code)) == code


def test_help_has_one_sentence_then_examples_then_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("act", "--help") == 0
    out = capsys.readouterr().out
    places = [out.index(text) for text in ("Does one thing.", "Examples:", "Longer text", "Options:")]
    assert places == sorted(places)
    assert "  tool act --raise bug  # breaks\n" in out


def test_group_without_a_verb_shows_its_help_and_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert call() == 2
    assert "tool act" in capsys.readouterr().err


def test_single_command_can_be_a_script_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    @command("alone", examples=["alone"])
    def alone() -> None:
        """Runs alone."""
        raise Internal("no")

    assert run(alone, prog_name="alone", args=[]) == 1
    assert "error[LM-102]: no" in capsys.readouterr().err


def test_columns_are_aligned_and_safe() -> None:
    shown = click.unstyle(columns(["NAME", "RUNS"], [["dev-1", "1.0.0"], ["\x1b[31m", "a\nb"]]))
    assert shown.splitlines() == ["NAME      RUNS", "dev-1     1.0.0", "\\x1b[31m  a b"]

"""A Python is found by running it: names on PATH may be shims that fail."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from limosa_compiler.errors import NoPython
from limosa_compiler.litert.pythons import Python, candidates, find_python, probe


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def says(path: Path, version: str) -> Path:
    return program(path, f"echo {version}")


def environ(tmp_path: Path, *folders: str) -> dict[str, str]:
    return {"PATH": ":".join(str(tmp_path / name) for name in folders), "HOME": str(tmp_path / "home")}


def test_shim_that_fails_is_passed_over_for_the_next_of_its_name(tmp_path: Path) -> None:
    program(tmp_path / "shims/python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127")
    right = says(tmp_path / "bin/python3.12", "3 12 4")
    here = environ(tmp_path, "shims", "bin")
    found = [path for path in candidates(here) if path != Path(sys.executable)]
    assert found == [tmp_path / "shims/python3.12", right]
    assert probe(found[0]) == "pyenv: python3.12: command not found"
    assert probe(right) == Python(path=right, version=(3, 12, 4))


def test_versions_that_pyenv_and_uv_keep_are_found_the_lowest_first(tmp_path: Path) -> None:
    newer = says(tmp_path / "home/.pyenv/versions/3.13.0/bin/python3.13", "3 13 0")
    lower = says(tmp_path / "home/.local/share/uv/python/cpython-3.12/bin/python3.12", "3 12 0")
    program(tmp_path / "home/.pyenv/versions/3.13.0/bin/python3.13-config", "exit 1")
    found = [path for path in candidates(environ(tmp_path)) if path != Path(sys.executable)]
    assert found == [lower, newer]


def test_none_that_is_new_enough_is_said_with_all_that_were_tried(tmp_path: Path) -> None:
    says(tmp_path / "bin/python3", "3 9 2")
    program(tmp_path / "bin/python3.13", "echo no module named ensurepip >&2; exit 1")
    if sys.version_info >= (3, 12):
        pytest.skip("this Python itself would do")
    with pytest.raises(NoPython) as refused:
        find_python(environ=environ(tmp_path, "bin"))
    assert refused.value.code == "LM-141"
    assert "3.9.2" in refused.value.why
    assert "no module named ensurepip" in refused.value.why
    assert "--python PATH" in refused.value.hint


def test_named_one_is_taken_or_refused_and_no_other_is_looked_for(tmp_path: Path) -> None:
    fine = says(tmp_path / "fine", "3 14 1")
    assert find_python(wanted=fine).text == "3.14.1"
    for path in (
        says(tmp_path / "old", "3 11 9"),
        program(tmp_path / "odd", "echo hello"),
        tmp_path / "none",
    ):
        with pytest.raises(NoPython) as refused:
            find_python(wanted=path)
        assert str(path) in str(refused.value)

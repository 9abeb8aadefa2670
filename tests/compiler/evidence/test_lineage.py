"""Lineage: what a recipe says of where model and data come from, read once and written everywhere."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_compiler.evidence.lineage import digest_of_path, resolved
from limosa_compiler.external.yaml_documents import parse_yaml
from limosa_compiler.recipe.lineage import LineageNotes
from limosa_contracts.errors import InvalidField, LimosaError
from limosa_contracts.fields import Fields

DVC = b"""md5: 4a3b
deps:
- path: raw.csv
outs:
- md5: 22a1a2931c8370d3aeedd7183606fd7f
  size: 14445097
  hash: md5
  path: data.xml
"""


def lineage(folder: Path, **texts: str) -> dict[str, str]:
    return dict(resolved(LineageNotes.parse(Fields({"lineage": texts}, where=""), folder=folder)).texts)


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_texts_of_ones_own_and_a_literal_digest_are_kept_as_they_are(tmp_path: Path) -> None:
    digest = "sha256:" + "a" * 64
    assert lineage(tmp_path, run="https://runs.example/7", dataset=digest, notes="v2 sensor") == {
        "dataset": digest,
        "notes": "v2 sensor",
        "run": "https://runs.example/7",
    }


def test_data_set_is_named_by_its_bytes_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder = tmp_path / name / "sub"
        folder.mkdir(parents=True)
        (folder / "a.csv").write_text("1,2\n")
        (folder.parent / "b.csv").write_text("3,4\n")
    same = {lineage(tmp_path, dataset=name)["dataset"] for name in ("one", "two")}
    assert len(same) == 1
    (tmp_path / "two" / "b.csv").rename(tmp_path / "two" / "c.csv")
    assert digest_of_path(tmp_path / "two") not in same
    assert lineage(tmp_path, dataset="one/b.csv")["dataset"].startswith("sha256:")
    with pytest.raises(InvalidField, match="no such data set"):
        lineage(tmp_path, dataset="three")


def test_dvc_file_gives_the_hash_it_tracks(tmp_path: Path) -> None:
    (tmp_path / "data.xml.dvc").write_bytes(DVC)
    assert lineage(tmp_path, dvc="data.xml.dvc") == {"dvc": "md5:22a1a2931c8370d3aeedd7183606fd7f data.xml"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"outs: []",
        b"outs:\n- path: x\n",
        b"outs: text",
        b"outs:\n- md5: [1]\n  path: x",
        b"\xff\xfe",
        b"outs: !!python/object/apply:os.system [ls]",
        b"a: &a [1,2]\nb: *a\nouts:\n- md5: x\n  path: *a\n",
        b"[" * 5000,
    ],
)
def test_dvc_file_that_says_nothing_or_nonsense_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad.dvc").write_bytes(data)
    with pytest.raises(LimosaError) as refused:
        lineage(tmp_path, dvc="bad.dvc")
    assert "bad.dvc" in str(refused.value.where)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_coded_error(data: bytes) -> None:
    try:
        parse_yaml(data, where="here")
    except LimosaError as error:
        assert error.code.startswith("LM-")


def test_commit_is_that_of_the_checkout_and_says_when_a_tracked_file_differs(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "train.py").write_text("one\n")
    git(tmp_path, "add", "train.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "built.limosa").write_text("a build's own output")
    assert lineage(tmp_path, commit="auto") == {"commit": commit}
    (tmp_path / "train.py").write_text("two\n")
    assert lineage(tmp_path, commit="auto") == {"commit": f"{commit}-dirty"}
    assert lineage(tmp_path, commit="abc") == {"commit": "abc"}


def test_commit_without_a_checkout_is_refused_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(InvalidField) as refused:
        lineage(tmp_path, commit="auto")
    assert "commit =" in refused.value.hint


@pytest.mark.parametrize("key, text", [("a b", "x"), ("run", ""), ("", "x"), ("<script>", "x")])
def test_key_that_is_no_word_is_refused(tmp_path: Path, key: str, text: str) -> None:
    document = tomllib.loads(f'[lineage]\n"{key}" = "{text}"\n')
    with pytest.raises(InvalidField):
        LineageNotes.parse(Fields(document, where=""), folder=tmp_path)

"""limosa inspect for people: what ships and why, on a screen of 100 columns."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from limosa_compiler.artifact.archive_file import read_archive
from limosa_compiler.artifact.inspection import describe
from limosa_compiler.building import BuildResult
from limosa_compiler.commands.inspect_text import inspect_text


def test_choice_stands_first_and_no_sentence_is_wider_than_the_screen(toy: BuildResult) -> None:
    said = json.loads(json.dumps(describe(toy.path, read_archive(toy.path))))
    text = click.unstyle(inspect_text(said))
    after = text[text.index("gate: ") :].splitlines()
    assert max(len(line) for line in after if "all of it" not in line) <= 100
    reasons = [line for line in after if line and not line.startswith((" ", "gate"))]
    assert reasons[0].startswith("chosen: ")
    assert "promised to generic-x86-64" in text
    assert f"all of it: {toy.report_path}" in text
    for item in said["candidates"]:
        assert item["name"] in text


def test_slices_and_sensitive_nodes_are_named_by_the_worst(toy: BuildResult) -> None:
    said = json.loads(json.dumps(describe(toy.path, read_archive(toy.path))))
    chosen = next(item for item in said["candidates"] if item["targets"]["generic-x86-64"]["chosen"])
    chosen["tune_slices"] = {
        "person=1": {"rows": 80, "metric": 0.9, "points": 0.5},
        "person=\x1b[2J": {"rows": 70, "metric": 0.8, "points": -2.5},
    }
    said["sensitivity"] = [
        {"name": f"n{i}", "op_type": "Conv", "sqnr_db": 30.0 - i, "float_in_choice": i == 8} for i in range(9)
    ]
    text = inspect_text(said)
    assert "0.8000, -2.50 points, 70 tune rows" in text
    assert "most sensitive of 9 nodes: n8 (22.0 dB), n7 (23.0 dB), n6 (24.0 dB); 1 left in float" in text
    assert "\x1b[2J" not in text


def test_the_runtime_that_a_device_must_have_stands_with_the_variant(toy: BuildResult) -> None:
    said = json.loads(json.dumps(describe(toy.path, read_archive(toy.path))))
    said["variants"][0]["requires"] |= {"runtime": "litert", "runtime_min": "2.3.0"}
    assert " litert 2.3.0" in inspect_text(said)


def test_what_was_never_made_is_told_with_the_reason_once(toy: BuildResult) -> None:
    said = json.loads(json.dumps(describe(toy.path, read_archive(toy.path))))
    assert isinstance(said["left_out"], list)
    said["left_out"] = [
        {"name": name, "reason": "not_made", "detail": "the model cannot be quantized (a loop)"}
        for name in ("int8-minmax", "int8-mse")
    ]
    assert "not made: int8-minmax, int8-mse: the model cannot be quantized (a loop)\n" in inspect_text(said)


def test_without_a_report_beside_it_none_is_named(toy: BuildResult, tmp_path: Path) -> None:
    path = tmp_path / toy.path.name
    path.write_bytes(toy.path.read_bytes())
    (tmp_path / toy.evidence_path.name).write_bytes(toy.evidence_path.read_bytes())
    assert "all of it" not in inspect_text(json.loads(json.dumps(describe(path, read_archive(path)))))


@pytest.mark.parametrize("name", ["report_path", "evidence_path"])
def test_build_leaves_evidence_and_report_beside_the_artifact(toy: BuildResult, name: str) -> None:
    assert getattr(toy, name).parent == toy.path.parent
    assert getattr(toy, name).stat().st_size > 1000

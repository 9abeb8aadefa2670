"""Models that load, and then end the process that runs them, or keep it: the command says so."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.compiler.graphs import model_of, recipe_folder, rows
from tests.support.processes import script


def crashes_at(value: int) -> onnx.ModelProto:
    """y = x; where x rounds to `value`, the least int32 is divided by -1, which processors refuse."""
    nodes = [
        helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT32),
        helper.make_node("Mul", ["whole", "big"], ["least"]),
        helper.make_node("Mod", ["least", "minus"], ["rest"]),
        helper.make_node("Cast", ["rest"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "zero"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    constants = {
        "big": np.array([-(2**31) // value], np.int32),
        "minus": np.array([-1], np.int32),
        "zero": np.zeros(1, np.float32),
    }
    return model_of(nodes, constants, {"x": ["N", 4]}, {"y": ["N", 4]})


def loops_as_often_as_x_says() -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["sum", "one"], ["more"])],
        "body",
        [value("step", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("sum", 1, [1])],
        [value("on", TensorProto.BOOL, []), value("more", 1, [1])],
        [numpy_helper.from_array(np.ones(1, np.float32), "one")],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["times"], to=TensorProto.INT64),
        helper.make_node("Loop", ["times", "true", "start"], ["count"], body=body),
        helper.make_node("Mul", ["count", "start"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    constants = {"true": np.array(True), "start": np.zeros(1, np.float32)}
    return model_of(nodes, constants, {"x": ["N", 4]}, {"y": ["N", 4]})


def recipe_with(folder: Path, model: onnx.ModelProto, value: float) -> Path:
    """Row 50 of calibration, long after the rows of the first load, holds `value`; all others are small."""
    calibration = {"x": np.clip(rows(100, seed=1)["x"], -1, 1)}
    calibration["x"][50, 0] = value
    evaluation = rows(100, seed=2)
    evaluation["x"] = np.clip(evaluation["x"], -1, 1)
    return recipe_folder(folder, model, calibration=calibration, evaluation=evaluation)


def building(recipe: Path, temporary: Path) -> subprocess.Popen[str]:
    temporary.mkdir()
    return subprocess.Popen(
        [script("limosa"), "build", str(recipe), "--output", str(recipe.parent / "dist")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"TMPDIR": str(temporary), "XDG_CACHE_HOME": str(recipe.parent / "cache")},
    )


def test_model_that_crashes_the_runtime_on_a_later_row_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    recipe = recipe_with(tmp_path, crashes_at(2), 2.0)
    with building(recipe, tmp_path / "temporary") as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "error[LM-119]: the model, or code of the recipe, ends the process that runs it" in said
    assert "SIGFPE" in said
    assert "Traceback" not in said
    assert not list((tmp_path / "temporary").iterdir())
    assert not list(tmp_path.glob("dist/*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_build_whose_model_never_answers_ends_when_it_is_told_to(number: int, tmp_path: Path) -> None:
    """Python sees no interrupt while native code runs."""
    recipe = recipe_with(tmp_path, loops_as_often_as_x_says(), 1e18)
    with building(recipe, tmp_path / "temporary") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("fold_and_fuse"):
                break
        os.kill(process.pid, number)
        rest = process.stderr.read()
        process.wait(timeout=60)
    assert process.returncode == 130
    assert "error[LM-130]" in rest
    assert "Traceback" not in rest
    assert not list((tmp_path / "temporary").iterdir())
    assert not list(tmp_path.glob("dist/*"))


def test_nothing_runs_on_after_the_command_was_killed(tmp_path: Path) -> None:
    recipe = recipe_with(tmp_path, loops_as_often_as_x_says(), 1e18)
    with building(recipe, tmp_path / "temporary") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("fold_and_fuse"):
                break
        process.kill()
        process.stderr.read()  # ends when the last that could write to it has ended
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys\n\ndef rows():\n    sys.exit(0)\n", "LM-138"),
        ("import sys\nsys.exit(0)\n", "LM-138"),
        ("raise ValueError('no')\n", "LM-138"),
        ("import os\n\ndef rows():\n    os._exit(0)\n", "LM-119"),
    ],
)
def test_code_of_the_recipe_that_exits_is_no_build_that_succeeded(
    code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that ends in sys.exit() was exit code 0, and no artifact."""
    recipe = recipe_with(tmp_path, loops_as_often_as_x_says(), 1.0)
    (tmp_path / "givenrows.py").write_text(code)
    recipe.write_text(recipe.read_text().replace('"evaluation.npz"', '"python:givenrows:rows"'))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with building(recipe, tmp_path / "temporary") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert f"error[{said}]" in errors
    assert not list((tmp_path / "temporary").iterdir())

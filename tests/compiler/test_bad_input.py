"""Bad models: refused for a reason, within limits, and never with success or a crash (trust 7.2)."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from limosa_compiler.building import BuildResult
from limosa_compiler.errors import (
    BrokenWeights,
    CustomOperator,
    ExternalData,
    GateNotMet,
    ModelRefused,
    NotAModel,
)
from limosa_compiler.ingest import INGEST, parse_model
from limosa_compiler.ingest.in_child import ingest_limited
from limosa_compiler.passes import Context, run_passes
from limosa_compiler.running.limited_child import run_limited
from limosa_contracts.errors import TooLarge
from tests.compiler.graphs import classifier, model_of, recipe_folder, rows
from tests.compiler.hostile import (
    cyclic,
    growing,
    many_nodes,
    nested,
    with_empty_weight,
    with_external,
    with_scale,
    with_weight,
)
from tests.compiler.mutants import mutant
from tests.compiler.recurrent import accumulator

SECONDS_MAX = 60.0
FIRST = 0  # of the mutants: among these is one that runs and answers wrongly


def in_child(model: onnx.ModelProto | bytes) -> onnx.ModelProto:
    data = model if isinstance(model, bytes) else model.SerializeToString()
    context = Context(where="m.onnx", source_bytes=len(data))
    return ingest_limited(data, context, on_pass=lambda report: None).model


def ingested(model: onnx.ModelProto | bytes) -> onnx.ModelProto:
    """The same passes, in this process: for what costs nothing to refuse."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    context = Context(where="m.onnx", source_bytes=len(data))
    parsed = parse_model(data, where="m.onnx")
    return run_passes(parsed, INGEST, context, on_pass=lambda report: None)[0]


@pytest.mark.parametrize("kind", ["ConstantOfShape", "Expand", "Tile", "Pad", "Range", "Resize"])
def test_few_bytes_that_grow_into_gigabytes_are_refused_and_this_process_stays_small(kind: str) -> None:
    data = growing(kind).SerializeToString()
    assert len(data) < 512
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises((ModelRefused, NotAModel)):
        run_limited(in_child(data).SerializeToString(), {"x": np.zeros((2, 4), np.float32)}, what="m.onnx")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB
    assert time.monotonic() - begin < SECONDS_MAX


def test_bomb_is_refused_by_a_build_before_anything_is_prepared(
    tmp_path: Path, build_recipe: Callable[[Path], BuildResult]
) -> None:
    """Constant folding would make the tensor in the builder's own process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelRefused):
        build_recipe(recipe_folder(tmp_path, growing("Expand"), evaluation=rows(600, seed=2)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB
    assert not (tmp_path / "dist").exists()


def test_protobuf_of_four_million_nodes_is_refused_and_this_process_stays_small() -> None:
    data = many_nodes(4_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((TooLarge, ModelRefused)):
        in_child(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024  # KiB


@pytest.mark.parametrize("levels", [17, 31, 95, 5000])
def test_graphs_within_graphs_are_refused_at_any_depth(levels: int) -> None:
    with pytest.raises(NotAModel):
        ingested(nested(levels))


def test_graphs_within_graphs_in_reason_are_read() -> None:
    """What is wrong with these is only that they are no valid branches."""
    with pytest.raises(NotAModel, match="not valid ONNX"):
        ingested(nested(3))


def test_cycle_is_refused() -> None:
    with pytest.raises(NotAModel, match="not valid ONNX"):
        ingested(cyclic())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weight_that_is_no_number_is_refused_by_name(value: float) -> None:
    with pytest.raises(BrokenWeights, match="'w'"):
        ingested(with_weight(value))


def test_infinite_mask_of_an_attention_is_taken_and_nan_is_not() -> None:
    assert ingested(with_weight(-np.inf, kind="Add")).graph.node
    with pytest.raises(BrokenWeights):
        ingested(with_weight(np.nan, kind="Add"))


@pytest.mark.parametrize("scale", [0.0, -0.1, np.inf, np.nan])
def test_scale_that_divides_by_nothing_is_refused_by_name(scale: float) -> None:
    with pytest.raises(BrokenWeights, match="'scale'"):
        ingested(with_scale(scale))
    assert ingested(with_scale(0.1)).graph.node


@pytest.mark.parametrize("dims", [[4], [2**31, 2**31], [2**62], [10**9]])
def test_tensor_that_does_not_hold_what_it_says_is_refused(dims: list[int]) -> None:
    with pytest.raises((NotAModel, ModelRefused)):
        ingested(with_empty_weight(dims))


@pytest.mark.parametrize("way", ["..", "absolute", "beside", "symlink", "hard link", "proc"])
def test_weights_in_another_file_are_refused_however_they_are_named(way: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.ones(4, np.float32).tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    if way == "symlink":
        (folder / "w.bin").symlink_to(secret)
    elif way == "hard link":
        (folder / "w.bin").hardlink_to(secret)
    else:
        (folder / "w.bin").write_bytes(secret.read_bytes())
    location = {"..": "../secret.bin", "absolute": str(secret), "proc": "/proc/self/environ"}.get(
        way, "w.bin"
    )
    (folder / "m.onnx").write_bytes(with_external(location).SerializeToString())
    with pytest.raises(ExternalData):
        ingested((folder / "m.onnx").read_bytes())


def test_model_that_answers_by_chance_is_refused_for_its_operator() -> None:
    """Its golden vectors would fail on every device."""
    nodes = [
        onnx.helper.make_node("RandomNormalLike", ["x"], ["chance"]),
        onnx.helper.make_node("Add", ["x", "chance"], ["y"]),
    ]
    with pytest.raises(CustomOperator, match="RandomNormalLike"):
        ingested(model_of(nodes, {}, {"x": ["N", 4]}, {"y": ["N", 4]}))


@pytest.mark.parametrize("what", ["node", "weight", "output"])
def test_name_of_a_million_characters_is_refused_and_not_carried_into_every_document(what: str) -> None:
    """Evidence was four times as large as whoever reads it takes; eight such names took 2 GB."""
    model, long = with_weight(1.0), "n" * 1_000_000
    node = model.graph.node[0]
    if what == "node":
        node.name = long
    elif what == "weight":
        node.input[1] = model.graph.initializer[0].name = long
    else:
        node.output[0] = model.graph.output[0].name = long
    with pytest.raises(NotAModel, match="1000000 characters"):
        ingested(model)


def test_axis_whose_name_is_no_text_is_refused() -> None:
    """The runtime takes it, and says its name only with an error of Python's."""
    data = classifier(batch="batch_axis").SerializeToString().replace(b"batch_axis", b"batch\x91axis")
    with pytest.raises(NotAModel, match="not UTF-8"):
        ingested(data)


def looked_at(model: onnx.ModelProto, folder: Path, *, first: int, count: int) -> list[dict[str, Any]]:
    original = folder / "original.onnx"
    original.write_bytes(model.SerializeToString())
    done = subprocess.run(
        [sys.executable, "-m", "tests.compiler.mutants", str(original), str(first), str(count)],
        capture_output=True,
        timeout=SECONDS_MAX * max(1, count // 100),
        check=True,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == count
    return found


def check_mutants(found: list[dict[str, Any]]) -> None:
    """None hangs; what ends a process is a limit; most are refused for what they are."""
    assert max(item["seconds"] for item in found) < 25
    ended = Counter(item["ended"] for item in found if "ended" in item)
    assert set(ended) <= {"SIGXCPU", "SIGKILL", "SIGABRT"}, ended
    assert sum(ended.values()) <= len(found) // 50
    assert all(item["refused"] != "RecursionError" for item in found if "refused" in item)


def test_two_hundred_broken_models_neither_crash_nor_hang_and_what_still_runs_meets_the_gate(
    tmp_path: Path, build_recipe: Callable[[Path], BuildResult]
) -> None:
    """Nothing in some of the files says that they are broken; their answers do."""
    found = looked_at(classifier(), tmp_path, first=FIRST, count=150)
    check_mutants(found)
    check_mutants(looked_at(accumulator(), tmp_path, first=FIRST, count=50))
    assert sum("refused" in item for item in found) > len(found) // 3
    worse = [item["number"] for item in found if item.get("accuracy", 1.0) < 0.9]
    data = mutant(classifier().SerializeToString(), worse[0])
    recipe = recipe_folder(tmp_path, data, more="[gate]\nmin_metric = 0.95\n")
    with pytest.raises(GateNotMet):
        build_recipe(recipe)
    assert not list(tmp_path.glob("dist/*"))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_two_thousand_broken_models_neither_crash_nor_hang(tmp_path: Path) -> None:
    check_mutants(looked_at(classifier(), tmp_path, first=1000, count=1000))
    check_mutants(looked_at(accumulator(), tmp_path, first=1000, count=1000))

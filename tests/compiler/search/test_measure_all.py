"""What is measured, what is spared, and when the search is asked for (compiler 2.5, 2.6, 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from limosa_compiler.arrays import Array
from limosa_compiler.evidence.parts import NodeSensitivity
from limosa_compiler.loading.load import load
from limosa_compiler.metrics import METRICS
from limosa_compiler.passes import PassReport
from limosa_compiler.recipe import Gate, Recipe, read_recipe
from limosa_compiler.recipe.gate import Prefer
from limosa_compiler.search.candidates import Outcome, Wanted, measure_all
from limosa_compiler.search.ladder import make_ladder
from limosa_compiler.search.searching import worst_of
from limosa_compiler.search.strategies import strategy_for
from limosa_contracts.profiles import load_profiles
from tests.compiler.graphs import FEATURES, classifier, model_of, recipe_folder

KNOWN = load_profiles()
EASY = Gate(max_loss_points=20)


def fragile() -> onnx.ModelProto:
    """The classes of `classifier`, by way of + 10000, a product, and - 10000: int8 loses all of it."""
    wide = 64
    constants = {
        "w1": np.eye(FEATURES, wide, dtype=np.float32),
        "w2": np.eye(wide, dtype=np.float32),
        "w3": np.eye(wide, dtype=np.float32) + 0,
        "far": np.full(wide, 10_000, np.float32),
        "one": np.eye(wide, dtype=np.float32) + 0,
        "back": np.full(wide, -10_000, np.float32),
        "w4": np.eye(wide, 3, dtype=np.float32),
    }
    layers = [
        ("MatMul", "w1", "first"),
        ("MatMul", "w2", "second"),
        ("MatMul", "w3", "third"),
        ("Add", "far", "detour"),
        ("MatMul", "one", "there"),
        ("Add", "back", "return"),
        ("MatMul", "w4", "scores"),
    ]
    nodes: list[onnx.NodeProto] = []
    for kind, constant, name in layers:
        given = nodes[-1].output[0] if nodes else "x"
        nodes.append(helper.make_node(kind, [given, constant], [name], name=name))
    return model_of(nodes, constants, {"x": ["N", FEATURES]}, {"scores": ["N", 3]})


def measured(
    folder: Path,
    model: onnx.ModelProto,
    *,
    targets: Sequence[str] = ("rpi4",),
    gate: Gate = EASY,
    prefer: Prefer = Prefer.SIZE,
    float_nodes_max: int = 0,
    kinds: Sequence[str] = ("int8", "sensitivity"),
) -> tuple[Outcome, list[PassReport]]:
    path = recipe_folder(folder, model)
    recipe = Recipe.parse(read_recipe(path), folder=folder)
    loaded = load(recipe, METRICS["accuracy"], on_pass=lambda report: None)
    profiles = tuple(KNOWN[target] for target in targets)
    notes = replace(recipe.search, rungs=tuple(kinds), cache=False)
    found = make_ladder(loaded, strategy_for(profiles, notes), on_pass=lambda report: None)
    wanted = Wanted(metric=METRICS["accuracy"], gate=gate, prefer=prefer, profiles=profiles)
    reports: list[PassReport] = []
    return (
        measure_all(found, loaded, wanted, float_nodes_max=float_nodes_max, on_pass=reports.append),
        reports,
    )


def test_one_that_may_be_shipped_spares_larger_ones_and_is_as_small_as_any(tmp_path: Path) -> None:
    outcome, reports = measured(tmp_path, classifier(), kinds=("int8", "int8-dynamic"))
    shipped = min(item.size for item in outcome.measured)
    assert outcome.pruned
    assert all("which meets the gate" in item.reason for item in outcome.pruned)
    assert all(item.size > shipped * 1.05 for item in outcome.pruned)
    assert {item.name for item in outcome.measured} | {item.name for item in outcome.pruned} == {
        item.name for item in outcome.found.candidates
    }
    looks = [report for report in reports if report.name.startswith("measure ")]
    assert looks[0].name == "measure fp32"
    assert len(looks) == len(outcome.found.candidates)


@pytest.mark.parametrize("prefer", [Prefer.LATENCY, Prefer.ACCURACY])
def test_where_size_is_not_preferred_nothing_is_spared_for_it(tmp_path: Path, prefer: Prefer) -> None:
    outcome, _ = measured(tmp_path, classifier(), prefer=prefer)
    assert not outcome.pruned
    assert len(outcome.measured) == len(outcome.found.candidates)


def test_smaller_one_that_another_target_cannot_take_spares_nothing_there(tmp_path: Path) -> None:
    """8-bit candidates are not for x86 without VNNI: they are no reason to leave its own unmeasured."""
    outcome, _ = measured(tmp_path, classifier(), targets=("rpi4", "generic-x86-64"))
    assert any("7bit" in item.name for item in outcome.measured)


def test_clear_failure_is_seen_on_the_first_rows_and_costs_no_more(tmp_path: Path) -> None:
    outcome, _ = measured(tmp_path, fragile(), gate=Gate())
    failed = [item for item in outcome.pruned if "first" in item.reason]
    assert failed
    for item in failed:
        assert item.tune is not None
        assert item.tune.rows < 300
        assert -item.tune.points > 1
        assert item.name not in {one.name for one in outcome.measured}


def test_candidates_that_differ_in_constants_only_share_their_times(tmp_path: Path) -> None:
    outcome, _ = measured(tmp_path, classifier(), prefer=Prefer.ACCURACY)
    times: dict[str, set[float]] = {}
    for item in outcome.measured:
        times.setdefault(item.structure, set()).add(item.latency.median_us)
    assert len(times) < len(outcome.measured)
    assert all(len(found) == 1 for found in times.values())


def test_search_is_asked_only_where_int8_is_lacking_and_finds_what_meets_the_gate(tmp_path: Path) -> None:
    outcome, reports = measured(tmp_path / "a", fragile(), gate=Gate(max_loss_points=5), float_nodes_max=4)
    new = [item for item in outcome.measured if "-float" in item.name]
    assert new
    assert -min(item.tune.lower_bound_points or 0.0 for item in new) <= 5
    assert any(report.name.startswith("search int8") for report in reports)
    assert any(item.name.startswith("there") for item in outcome.found.sensitivity[:3])

    none, quiet = measured(tmp_path / "b", classifier(), float_nodes_max=4)
    assert not any("-float" in item.name for item in none.found.candidates)
    assert not any(report.name.startswith("search") for report in quiet)
    assert none.found.sensitivity, "the report shows it all the same"


def test_no_node_may_stay_in_float_and_nothing_is_searched(tmp_path: Path) -> None:
    outcome, _ = measured(tmp_path, fragile(), gate=Gate(max_loss_points=5), float_nodes_max=0)
    assert not any("-float" in item.name for item in outcome.found.candidates)


def test_search_of_two_numbers_of_bits_keeps_what_each_node_stands_worst(tmp_path: Path) -> None:
    outcome, reports = measured(
        tmp_path,
        fragile(),
        targets=("rpi4", "generic-x86-64"),
        gate=Gate(max_loss_points=5),
        float_nodes_max=4,
    )
    ranks = [report.name for report in reports if report.name.startswith("rank nodes")]
    assert len(ranks) == 2
    assert sum("7bit" in name for name in ranks) == 1
    names = [item.name for item in outcome.found.sensitivity]
    assert len(names) == len(set(names))

    eight, seven = (
        [NodeSensitivity(name=name, op_type="Conv", sqnr_db=noise) for name, noise in pairs]
        for pairs in ((("a", 10.0), ("b", 30.0)), (("b", 20.0), ("c", 5.0), ("a", 12.0)))
    )
    assert [(item.name, item.sqnr_db) for item in worst_of([eight, seven])] == [
        ("c", 5.0),
        ("a", 10.0),
        ("b", 20.0),
    ]
    assert worst_of([]) == ()


def test_answers_are_the_same_bits_in_batches_one_by_one_and_at_once(tmp_path: Path) -> None:
    outcome, _ = measured(tmp_path, classifier(), prefer=Prefer.ACCURACY)
    x = np.random.default_rng(1).normal(size=(500, FEATURES)).astype(np.float32)
    for name, runner in outcome.found.runners.items():
        size = runner.batch_rows
        parts: list[Array] = [
            runner.run({"x": x[begin : begin + size]})["scores"] for begin in range(0, len(x), size)
        ]
        together = runner.predict({"x": x})["scores"]
        assert together.tobytes() == np.concatenate(parts).tobytes(), name

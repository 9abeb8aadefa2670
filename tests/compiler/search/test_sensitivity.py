"""The sensitivity search: which nodes break, and how few must stay in float."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
from onnx import helper

from limosa_compiler.evidence.parts import NodeSensitivity
from limosa_compiler.rungs.rung import Material
from limosa_compiler.rungs.static_int8 import Setting
from limosa_compiler.running.runner import Runner
from limosa_compiler.running.runs import Runs
from limosa_compiler.search.candidate import Candidate
from limosa_compiler.search.noise import SQNR_MAX_DB, sqnr_db, worst_sqnr_db
from limosa_compiler.search.sensitivity import Sample, Search, rank, search
from tests.compiler.graphs import FEATURES, model_of
from tests.compiler.rungs.material import material_of

SETTING = Setting(ranges="minmax", core_only=False)
WIDTH = 32


def load(model: bytes, what: str) -> Runs:
    return Runner(model, what=what)


def data() -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {"x": np.random.default_rng(5).normal(size=(64, FEATURES)).astype(np.float32)}


def fragile() -> onnx.ModelProto:
    """Two dense layers with a detour between them that int8 cannot take: + 10000 and - 10000."""
    draw = np.random.default_rng(1)
    constants = {
        "w1": draw.normal(size=(FEATURES, WIDTH)).astype(np.float32),
        "far": np.full(WIDTH, 10_000, np.float32),
        "back": np.full(WIDTH, -10_000, np.float32),
        "w2": draw.normal(size=(WIDTH, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["hidden"], name="first"),
        helper.make_node("Add", ["hidden", "far"], ["away"], name="detour"),
        helper.make_node("Add", ["away", "back"], ["home"], name="return"),
        helper.make_node("MatMul", ["home", "w2"], ["y"], name="second"),
    ]
    return model_of(nodes, constants, {"x": ["N", FEATURES]}, {"y": ["N", 3]})


@cache
def found() -> tuple[Material, Sample, tuple[NodeSensitivity, ...]]:
    material = material_of(fragile(), data())
    answers = Runner(material.model.SerializeToString()).predict(data())
    sample = Sample(inputs=data(), answers=answers)
    return material, sample, rank(material, SETTING, sample, load=load, nodes_max=100)


def steps() -> Search:
    material, sample, ranking = found()
    return Search(material=material, setting=SETTING, ranking=ranking, sample=sample, load=load)


def test_nodes_that_int8_breaks_come_first() -> None:
    _, _, ranking = found()
    by_type = [item.op_type for item in ranking]
    assert by_type.index("Add") < by_type.index("MatMul")
    assert ranking[0].sqnr_db < 5
    assert ranking[-1].sqnr_db > 30
    assert [item.sqnr_db for item in ranking] == sorted(item.sqnr_db for item in ranking)


def test_ranking_is_the_same_each_time() -> None:
    material, sample, ranking = found()
    assert rank(material, SETTING, sample, load=load, nodes_max=100) == ranking


def test_worst_nodes_in_float_bring_the_noise_down() -> None:
    one = steps()
    most = len(one.ranking) - 1
    k = one.least_k(20.0, most)
    assert k is not None
    assert 0 < k <= most
    assert one.db(0) < 5
    assert one.db(k) >= 20
    made = one.at(k)
    assert made is not None
    assert set(made[0].float_nodes) == {item.name for item in one.ranking[:k]}


def test_bisection_makes_few_models() -> None:
    one = steps()
    one.least_k(20.0, len(one.ranking) - 1)
    assert len(one.made) <= 4


def test_search_gives_the_least_k_that_the_metric_confirms() -> None:
    asked: list[str] = []

    def holds(item: Candidate) -> bool:
        asked.append(item.name)
        return len(item.float_nodes) >= 2

    winner, *_ = search(steps(), float_nodes_max=16, holds=holds)
    assert len(winner.float_nodes) == 2
    assert winner.precision == "int8"
    assert len(asked) <= 8


def test_metric_that_never_holds_leaves_the_candidate_with_least_noise() -> None:
    (closest,) = search(steps(), float_nodes_max=2, holds=lambda item: False)
    assert 0 < len(closest.float_nodes) <= 2


def test_nothing_may_stay_in_float_and_nothing_is_searched() -> None:
    assert search(steps(), float_nodes_max=0, holds=lambda item: True) == ()


def test_noise_of_equal_answers_is_least_and_of_broken_ones_is_most() -> None:
    x = np.array([1.0, -2.0, 3.0], np.float32)
    assert sqnr_db(x, x) == SQNR_MAX_DB
    assert sqnr_db(x, x * np.nan) == -SQNR_MAX_DB
    assert worst_sqnr_db({"a": x, "b": x}, {"a": x, "b": -x}) < 0
    assert worst_sqnr_db({"a": x}, {"a": x[:2]}) == -SQNR_MAX_DB


def test_noise_of_classes_is_measured_where_nothing_is_float() -> None:
    classes = np.array([1, 2, 3])
    assert worst_sqnr_db({"c": classes}, {"c": classes}) == SQNR_MAX_DB

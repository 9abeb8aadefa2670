"""A metric of the user's own: its errors are shown with their place, never swallowed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from limosa_compiler.arrays import Array
from limosa_compiler.errors import EntryPointFailed, MetricFailed
from limosa_compiler.measuring.columns import columns_in_turn
from limosa_compiler.metrics import Doubles, Metric, check_labels, difference_points, metric_named
from limosa_contracts.errors import InvalidField

CODE = """
import numpy as np

def dice(answers, labels):
    return np.stack([2 * (answers * labels).sum(1), answers.sum(1) + labels.sum(1)], axis=1)

dice.value = lambda sums, rows: sums[..., 0] / sums[..., 1]
dice.is_share = True

def error(answers, labels):
    return np.abs(answers - labels).mean(axis=1)

error.higher_is_better = False
error.by_row = True

def breaks(answers, labels):
    return answers[:, 99]

def short(answers, labels):
    return np.zeros((1, 1))

def nan(answers, labels):
    return np.full(len(answers), np.nan)

def words(answers, labels):
    return ["a"] * len(answers)

def flat(answers, labels):
    return np.ones((len(answers), 2))

flat.value = lambda sums, rows: sums[0]

def odd(answers, labels):
    return answers

odd.is_share = "yes"
constant = 3
"""
ONES = np.ones((4, 3))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """`python:NAME` of a module of its own, so that no test sees another's."""
    name = f"own_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"python:{name}"


def test_own_metric_is_measured_like_any_other(module: str) -> None:
    dice = metric_named(f"{module}:dice")
    columns = dice.columns(ONES, ONES)
    check_labels(dice, ONES, ONES, where="e.npz")
    assert dice.code_digest.startswith("sha256:")
    assert (dice.of(columns), dice.is_share, dice.higher_is_better) == (1.0, True, True)
    assert difference_points(dice, columns, columns).lower_bound == 0


def test_own_metric_has_the_mean_of_its_first_column_where_it_says_nothing_else(module: str) -> None:
    error = metric_named(f"{module}:error")
    assert error.of(error.columns(ONES * 3, ONES)) == 2
    assert float(error.points(np.asarray(2.2), np.asarray(2.0))) == pytest.approx(-10)


def test_own_metric_sees_all_rows_at_once_unless_it_says_that_rows_are_enough(module: str) -> None:
    parts = np.array_split(ONES, 2)
    for name, calls in (("dice", [4]), ("error", [2, 2])):
        seen: list[int] = []
        columns_in_turn(_watched(metric_named(f"{module}:{name}"), seen), parts, ONES, who="it")
        assert seen == calls


def _watched(metric: Metric, seen: list[int]) -> Metric:
    def columns(answers: Array, labels: Array) -> Doubles:
        seen.append(len(answers))
        return metric.columns(answers, labels)

    return replace(metric, columns=columns)


@pytest.mark.parametrize(
    "function, says",
    [
        ("breaks", "IndexError: index 99 is out of bounds"),
        ("short", "shape [1, 1] for 4 rows"),
        ("nan", "NaN or infinity"),
        ("words", "could not convert"),
        ("flat", "sums of shape"),
    ],
)
def test_own_metric_that_fails_says_what_and_where(module: str, function: str, says: str) -> None:
    metric = metric_named(f"{module}:{function}")
    with pytest.raises(MetricFailed) as failed:
        difference_points(metric, metric.columns(ONES, ONES), metric.columns(ONES, ONES))
    assert says in f"{failed.value.what} {failed.value.why}"
    if function == "breaks":
        assert "in breaks" in failed.value.why
        assert "own_" in failed.value.why


def test_own_metric_that_is_none_is_refused_before_anything_is_measured(module: str) -> None:
    with pytest.raises(MetricFailed):
        metric_named(f"{module}:odd")
    for name in (f"{module}:missing", f"{module}:constant", "python:no_such_module_here:f"):
        with pytest.raises(EntryPointFailed):
            metric_named(name)
    with pytest.raises(InvalidField):
        metric_named("python:only_a_module")

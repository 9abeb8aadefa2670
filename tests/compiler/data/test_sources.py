"""Data as people keep it: tables, folders, functions; and what is wrong with it, by row and column."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limosa_compiler.building import BuildResult
from limosa_compiler.data import Rows, fit_rows, read_arrays
from limosa_compiler.data.checks import extremes_of, refuse_missing, refuse_never_moved
from limosa_compiler.data.functions import StreamedRows
from limosa_compiler.data.labels import class_indexes
from limosa_compiler.errors import DataMismatch, DataUnreadable, EntryPointFailed
from limosa_compiler.external.entry_point import EntryPoint
from limosa_compiler.recipe.inputs import InputNotes
from limosa_contracts.errors import InvalidField
from limosa_contracts.serving import TensorSpec
from tests.compiler.exported import imputing
from tests.compiler.graphs import CLASSES, FEATURES, classifier, recipe_folder, rows

X = TensorSpec(name="x", dtype="FP32", shape=(-1, 2))
COLUMNS = {"x": InputNotes(columns=("temperature", "load"))}
LENIENT = "[gate]\nmax_loss_points = 20\n"


def table(folder: Path, text: str, *, encoding: str = "utf-8") -> Path:
    path = folder / "data.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_columns_of_a_csv_become_one_input_and_the_others_are_left_alone(tmp_path: Path) -> None:
    path = table(tmp_path, "\ufefftemperature,load,site,label\n20.5,1,north,0\n\n21,2,south,1\n")
    arrays = read_arrays(path, texts=frozenset({"site"}))
    assert {name: array.dtype.kind for name, array in arrays.items()} == {
        "temperature": "f",
        "load": "i",
        "site": "O",
        "label": "i",
    }
    fitted = fit_rows(arrays, [X], label="label", where="data.csv", notes=COLUMNS, slices=["site"])
    np.testing.assert_array_equal(fitted.inputs["x"], np.array([[20.5, 1], [21, 2]], np.float32))
    assert fitted.slices["site"].tolist() == ["north", "south"]
    assert fitted.take(np.array([1])).slices["site"].tolist() == ["south"]


def test_parquet_gives_the_same_rows_as_csv(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {"temperature": [20.5, 21.0], "load": [1, 2], "site": ["north", "south"]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "data.parquet")
    path = table(tmp_path, "temperature,load,site\n20.5,1,north\n21.0,2,south\n")
    texts = frozenset({"site"})
    ours, theirs = (read_arrays(one, texts=texts) for one in (path, tmp_path / "data.parquet"))
    assert list(ours) == list(theirs)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name])


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "data.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataUnreadable) as refused:
        read_arrays(tmp_path / "data.parquet")
    assert "limosa[tabular]" in refused.value.hint


def test_parquet_that_is_cut_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.parquet").write_bytes(b"PAR1 and nothing more PAR1")
    with pytest.raises(DataUnreadable, match="cannot be read"):
        read_arrays(tmp_path / "data.parquet")


@pytest.mark.parametrize(
    "text, encoding, says",
    [
        ("", "utf-8", "empty"),
        ("a,b\n1,2\n3\n", "utf-8", "row 3 has 1 cells"),
        ("a,b\n1,2,3\n", "utf-8", "row 2 has 3 cells"),
        ("a,a\n1,2\n", "utf-8", "'a' occurs twice"),
        ("a,\n1,2\n", "utf-8", "a column has no name"),
        ("a,b\nsüd,2\n", "latin-1", "not UTF-8"),
        ('a,b\n"open,2\n', "utf-8", "cannot be read"),
        ("a,b\n" + "x" * 200_000 + ",2\n", "utf-8", "field larger than"),
    ],
)
def test_table_that_is_broken_is_refused_with_the_place(
    text: str, encoding: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(DataUnreadable) as refused:
        read_arrays(table(tmp_path, text, encoding=encoding))
    assert says in str(refused.value)


def test_text_in_a_column_of_numbers_is_named_with_its_row(tmp_path: Path) -> None:
    path = table(tmp_path, "temperature,load\n20.5,1\nwarm,2\n")
    with pytest.raises(DataMismatch) as refused:
        fit_rows(read_arrays(path), [X], label="label", where="data.csv", notes=COLUMNS)
    assert "row 1: 'warm'" in refused.value.why


def test_column_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    path = table(tmp_path, "temprature,load\n20.5,1\n")
    with pytest.raises(DataMismatch) as refused:
        fit_rows(read_arrays(path), [X], label="label", where="data.csv", notes=COLUMNS)
    assert "'temprature'" in refused.value.hint


def test_empty_cell_is_a_missing_value_and_refused_by_row_and_column(tmp_path: Path) -> None:
    path = table(tmp_path, "temperature,load\n20.5,1\n21,\n")
    fitted = fit_rows(read_arrays(path), [X], label="label", where="data.csv", notes=COLUMNS)
    with pytest.raises(DataMismatch) as refused:
        refuse_missing(fitted, where="data.csv", hint="allow it")
    assert "row 1, column 1: nan" in refused.value.why


@pytest.mark.parametrize("broken", ["calibration", "evaluation"])
def test_build_refuses_nan_unless_the_recipe_says_that_it_is_meant(
    broken: str, tmp_path: Path, build_recipe: Callable[[Path], BuildResult]
) -> None:
    data = {"calibration": rows(100, seed=1), "evaluation": rows(600, seed=2)}
    data[broken]["x"][41, 2] = np.nan
    recipe = recipe_folder(tmp_path, imputing(), **data, more=LENIENT)
    with pytest.raises(DataMismatch) as refused:
        build_recipe(recipe)
    assert refused.value.where == f"{broken}.npz"
    assert "row 41, column 2: nan" in refused.value.why
    recipe.write_text(recipe.read_text().replace('evaluation.npz"', 'evaluation.npz", missing_values = true'))
    if broken == "evaluation":
        assert build_recipe(recipe).path.is_file()
    else:
        with pytest.raises(DataMismatch):
            build_recipe(recipe)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int64])
def test_calibration_that_never_moves_an_input_is_refused(dtype: type[np.generic]) -> None:
    still = Rows(inputs={"x": np.full((50, 2), 3, dtype)}, labels=None)
    moving = Rows(inputs={"x": np.arange(100).astype(dtype).reshape(50, 2)}, labels=None)
    with pytest.raises(DataMismatch, match="never covers input 'x'"):
        refuse_never_moved(extremes_of(still.inputs), moving, where="cal.npz")
    refuse_never_moved(extremes_of(moving.inputs), still, where="cal.npz")
    refuse_never_moved(extremes_of(still.inputs), still, where="cal.npz")


def test_function_that_never_moves_an_input_is_refused_by_a_build(
    functions: str, tmp_path: Path, build_recipe: Callable[[Path], BuildResult]
) -> None:
    recipe = recipe_folder(tmp_path, classifier(), more=LENIENT)
    recipe.write_text(recipe.read_text().replace("calibration.npz", f"python:{functions}:still"))
    with pytest.raises(DataMismatch, match="never covers input 'x'"):
        build_recipe(recipe)


def test_numbers_that_do_not_fit_into_the_models_type_are_refused_and_not_wrapped() -> None:
    spec = TensorSpec(name="x", dtype="INT32", shape=(-1,))
    with pytest.raises(DataMismatch, match="int32 does not"):
        fit_rows({"x": np.array([1, 2**40])}, [spec], label="label", where="d")


def test_labels_are_mapped_by_name_and_a_strange_one_is_refused_with_its_row() -> None:
    labels = np.array(["b", "a", "b"])
    assert class_indexes(labels, ["a", "b"], own=False, where="d").tolist() == [1, 0, 1]
    assert class_indexes(np.array([3, 7]), ["3", "7"], own=True, where="d").tolist() == [0, 1]
    assert class_indexes(np.array([1, 0]), ["a", "b"], own=False, where="d").tolist() == [1, 0]
    with pytest.raises(DataMismatch, match="row 1"):
        class_indexes(np.array(["a", "c"]), ["a", "b"], own=False, where="d")
    with pytest.raises(DataMismatch) as refused:
        class_indexes(labels, [], own=False, where="d")
    assert "classes = " in refused.value.hint


def test_stored_and_compressed_arrays_read_the_same_and_stored_ones_stay_on_disk(tmp_path: Path) -> None:
    big = np.arange(3_000_000, dtype=np.float32).reshape(1000, 3000)
    np.savez(tmp_path / "stored.npz", x=big, n=np.array(7))
    np.savez_compressed(tmp_path / "packed.npz", x=big, n=np.array(7))
    np.testing.assert_array_equal(read_arrays(tmp_path / "packed.npz")["x"], big)
    tracemalloc.start()
    stored = Rows(inputs={"x": read_arrays(tmp_path / "stored.npz")["x"]}, labels=None)
    total = sum(float(batch["x"].sum(dtype=np.float64)) for batch in stored.batches(100))
    digest = stored.digest
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == float(big.sum(dtype=np.float64))
    assert digest == Rows(inputs={"x": big}, labels=None).digest
    assert peak < big.nbytes


FUNCTIONS = """
import numpy as np

CALLS = []


def rows(count, seed):
    x = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    return x, x[:, :3].argmax(axis=1)


def calibration():
    CALLS.append("calibration")
    for seed in range(10):
        yield {"x": rows(20, seed)[0]}


def evaluation():
    for seed in range(100, 106):
        x, labels = rows(100, seed)
        yield {"x": x}, labels


def broken():
    yield {"x": np.zeros((4, 4), np.float32)}
    raise KeyError("no such file in the bucket")


def wrong():
    yield [1, 2, 3]


def nothing():
    return iter(())


def still():
    yield {"x": np.full((64, 4), 0.5, np.float32)}


NOT_A_FUNCTION = 7
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of the user's own."""
    name = f"own_data_{abs(hash(str(tmp_path))) % 10**8}"
    (tmp_path / f"{name}.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def streamed(module: str, function: str) -> StreamedRows:
    spec = TensorSpec(name="x", dtype="FP32", shape=(-1, FEATURES))
    return StreamedRows(
        entry=EntryPoint(module=module, function=function),
        fit=lambda arrays: fit_rows(arrays, [spec], label="label", where=function),
        label="label",
        rows_max=90,
    )


def test_function_is_called_again_for_every_pass_and_gives_the_same(functions: str) -> None:
    stream = streamed(functions, "calibration")
    assert stream.count == 90
    first, again = ([batch["x"] for batch in stream.batches(64)] for _ in range(2))
    assert sum(len(part) for part in first) == 90
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert stream.digest == streamed(functions, "calibration").digest
    assert len(sys.modules[functions].CALLS) == 4


def test_model_is_built_from_functions(
    functions: str, tmp_path: Path, build_recipe: Callable[[Path], BuildResult]
) -> None:
    recipe = recipe_folder(tmp_path, classifier(), more=LENIENT)
    text = recipe.read_text()
    for name in ("calibration", "evaluation"):
        text = text.replace(f"{name}.npz", f"python:{functions}:{name}")
    recipe.write_text(text)
    built = build_recipe(recipe)
    assert built.evidence.candidates[0].tune.metric == 1.0
    assert built.evidence.inputs["calibration"].startswith("sha256:")


@pytest.mark.parametrize(
    "function, error, says",
    [
        ("broken", EntryPointFailed, "no such file in the bucket"),
        ("wrong", DataUnreadable, "yields list"),
        ("nothing", DataMismatch, "no rows"),
        ("missing", EntryPointFailed, "missing"),
        ("NOT_A_FUNCTION", EntryPointFailed, "no function"),
    ],
)
def test_function_that_fails_is_named_with_what_it_said(
    function: str, error: type[Exception], says: str, functions: str
) -> None:
    with pytest.raises(error, match=says):
        _ = streamed(functions, function).count


@pytest.mark.parametrize("text", ["python:", "python:a", "python:a:b:c", "python:a b:c", "python:os;x:y"])
def test_name_that_is_no_function_is_refused_before_anything_is_imported(text: str) -> None:
    with pytest.raises(InvalidField):
        EntryPoint.parse(text, where="data.calibration")


def test_labels_of_the_wrong_length_or_class_are_refused(
    tmp_path: Path, build_recipe: Callable[[Path], BuildResult]
) -> None:
    for label, says in (
        (np.zeros(599, np.int64), "different numbers of rows"),
        (np.full(600, CLASSES, np.int64), "class"),
        (np.full(600, -1, np.int64), "class"),
        (np.array(["cat"] * 600), "no classes are named"),
    ):
        evaluation: dict[str, Any] = rows(600, seed=2) | {"label": label}
        recipe = recipe_folder(tmp_path / str(label[0]), classifier(), evaluation=evaluation, more=LENIENT)
        with pytest.raises(DataMismatch, match=says):
            build_recipe(recipe)


@pytest.mark.parametrize("broken", ["calibration", "evaluation"])
def test_empty_data_is_refused(
    broken: str, tmp_path: Path, build_recipe: Callable[[Path], BuildResult]
) -> None:
    data = {"calibration": rows(100, seed=1), "evaluation": rows(600, seed=2)}
    data[broken] = {name: array[:0] for name, array in data[broken].items()}
    with pytest.raises(DataMismatch, match="no rows"):
        build_recipe(recipe_folder(tmp_path, classifier(), **data, more=LENIENT))

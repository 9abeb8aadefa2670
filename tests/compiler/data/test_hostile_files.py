"""Data files that are no files, or say that they are larger than they are."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from limosa_compiler.data import Rows, read_arrays, split_rows
from limosa_compiler.errors import DataUnreadable, NotAModel, TooFewRows
from limosa_compiler.ingest.parsing import read_model


def test_array_that_claims_gigabytes_and_holds_bytes_takes_no_memory(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (2**31, 2**10)}
    )
    path = tmp_path / "claims.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(64))
    with pytest.raises(DataUnreadable, match="bytes are there"):
        read_arrays(path)


def test_compressed_arrays_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = {"x": np.arange(12.0).reshape(3, 4), "none": np.zeros((0, 4)), "one": np.array(7)}
    np.savez_compressed(tmp_path / "a.npz", **written)  # type: ignore[arg-type]  # numpy's stub takes the keyword for allow_pickle
    read = read_arrays(tmp_path / "a.npz")
    assert {name: array.tolist() for name, array in read.items()} == {
        name: array.tolist() for name, array in written.items()
    }


def test_damaged_compression_is_refused_by_name(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.random.default_rng(1).normal(size=(100, 4)))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[200:260] = bytes(60)
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(DataUnreadable):
        read_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["data.npz", "data.csv", "data.parquet"])
def test_pipe_that_nobody_writes_to_is_refused_and_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataUnreadable, match="not a file"):
        read_arrays(tmp_path / name)


def test_device_that_never_ends_is_refused_as_data_and_as_model(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for link in ("endless.npz", "folder/x.npy", "endless.onnx"):
        (tmp_path / link).symlink_to("/dev/zero")
    for path in (tmp_path / "endless.npz", tmp_path / "folder"):
        with pytest.raises(DataUnreadable, match="not a file"):
            read_arrays(path)
    with pytest.raises(NotAModel, match="not a file"):
        read_model(tmp_path / "endless.onnx")
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "missing.npz")


def test_one_row_many_times_is_no_data_to_measure_with() -> None:
    """All of it was on one side, and what was computed over the other ended in a traceback."""
    rows = Rows(inputs={"x": np.ones((100, 4), np.float32)}, labels=np.zeros(100, np.int64))
    with pytest.raises(TooFewRows):
        split_rows(rows, tune_share=0.4)
    rows.inputs["x"][7] = 2
    tune, holdout = split_rows(rows, tune_share=0.9)
    assert {tune.count, holdout.count} == {1, 99}

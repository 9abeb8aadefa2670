"""Calibration and evaluation data: arrays named like the model's inputs, one row per case (compiler 1.2)."""

from __future__ import annotations

from limosa_compiler.data.fit import fit_rows, require_labels
from limosa_compiler.data.rows import Rows, RowStream
from limosa_compiler.data.sources import read_arrays
from limosa_compiler.data.split import split_rows

__all__ = ["RowStream", "Rows", "fit_rows", "read_arrays", "require_labels", "split_rows"]

"""Tune and holdout rows: decided by what is in a row, and by nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from limosa_compiler.arrays import Array, as_texts, is_text
from limosa_compiler.data.mapped import chunks
from limosa_compiler.data.rows import Rows
from limosa_compiler.data.spooled import taken
from limosa_compiler.errors import TooFewRows


def split_rows(rows: Rows, *, tune_share: float) -> tuple[Rows, Rows]:
    """(tune, holdout), by a hash of each row's values.

    The same row is always on the same side of one data set, also when it occurs twice; no order of
    the file and no seed matters.
    """
    keys = _row_keys(rows)
    ranked = sorted(set(keys))
    if len(ranked) < 2:
        raise TooFewRows(
            "all evaluation rows are the same",
            where="data.evaluation",
            why="one row is either measured with or held out, never both",
        )
    tuned = set(ranked[: min(len(ranked) - 1, max(1, round(tune_share * len(ranked))))])
    chosen = np.array([key in tuned for key in keys], dtype=bool)
    return _part(rows, np.flatnonzero(chosen)), _part(rows, np.flatnonzero(~chosen))


def _part(rows: Rows, index: Array) -> Rows:
    """As `take`, with large inputs in files."""
    small = Rows(inputs={}, labels=rows.labels, slices=rows.slices).take(index)
    return replace(small, inputs={name: taken(array, index) for name, array in rows.inputs.items()})


def _row_keys(rows: Rows) -> list[bytes]:
    states = [hashlib.sha256() for _ in range(rows.count)]
    for name in sorted(rows.inputs):
        array = rows.inputs[name]
        for begin, part in chunks(array):
            for state, row in zip(states[begin:], part, strict=False):
                if is_text(array):
                    state.update("\0".join(as_texts(np.asarray(row, dtype=object)).ravel().tolist()).encode())
                else:
                    state.update(np.ascontiguousarray(row).tobytes())
    return [state.digest() for state in states]

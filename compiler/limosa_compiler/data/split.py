"""Tune and holdout rows: decided by what is in a row, and by nothing else."""

from __future__ import annotations

import hashlib

import numpy as np

from limosa_compiler.arrays import as_texts, is_text
from limosa_compiler.data.rows import Rows


def split_rows(rows: Rows, *, tune_share: float) -> tuple[Rows, Rows]:
    """(tune, holdout), by a hash of each row's values.

    The same row is always on the same side of one data set, also when it occurs twice; no order of
    the file and no seed matters.
    """
    keys = _row_keys(rows)
    ranked = sorted(set(keys))
    tuned = set(ranked[: max(1, round(tune_share * len(ranked)))])
    chosen = np.array([key in tuned for key in keys], dtype=bool)
    return rows.take(np.flatnonzero(chosen)), rows.take(np.flatnonzero(~chosen))


def _row_keys(rows: Rows) -> list[bytes]:
    states = [hashlib.sha256() for _ in range(rows.count)]
    for name in sorted(rows.inputs):
        array = rows.inputs[name]
        for state, row in zip(states, array, strict=True):
            if is_text(array):
                state.update("\0".join(as_texts(np.asarray(row, dtype=object)).ravel().tolist()).encode())
            else:
                state.update(np.ascontiguousarray(row).tobytes())
    return [state.digest() for state in states]

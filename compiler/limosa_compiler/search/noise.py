"""How much of an output is quantization noise: no labels are needed for that (compiler 2.5)."""

from __future__ import annotations

import numpy as np

from limosa_compiler.arrays import Array, Arrays

SQNR_MAX_DB = 200.0  # said of outputs that are equal, too
_LEAST = 1e-20


def sqnr_db(reference: Array, answers: Array) -> float:
    """10 log10 of signal over noise power of finite values, in dB, within ±SQNR_MAX_DB.

    >>> round(sqnr_db(np.array([1.0, 1.0]), np.array([1.1, 0.9])), 3)
    20.0
    """
    true, given = reference.astype(np.float64), answers.astype(np.float64)
    finite = np.isfinite(true)
    if not np.isfinite(given[finite]).all():
        return -SQNR_MAX_DB
    signal = float((true[finite] ** 2).sum())
    noise = float(((true[finite] - given[finite]) ** 2).sum())
    if noise <= signal * _LEAST:
        return SQNR_MAX_DB
    return float(np.clip(10 * np.log10(max(signal, _LEAST) / noise), -SQNR_MAX_DB, SQNR_MAX_DB))


def worst_sqnr_db(reference: Arrays, answers: Arrays) -> float:
    """The least over float outputs; over all, where none is float. Shapes that differ are all noise."""
    floats = [name for name, array in reference.items() if array.dtype.kind == "f"]
    found = [
        sqnr_db(reference[name], answers[name])
        if reference[name].shape == answers[name].shape
        else -SQNR_MAX_DB
        for name in floats or list(reference)
    ]
    return min(found, default=SQNR_MAX_DB)

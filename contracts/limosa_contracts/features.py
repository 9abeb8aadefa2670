"""From a model's tensors to its monitored scalars, a row per inference (telemetry 1.3).

The compiler (baseline) and the device (counts) both read features here, so they cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from limosa_contracts.errors import InvalidField
from limosa_contracts.serving import CHANNELS_LAST, FeatureSpec, Serving

Rows: TypeAlias = npt.NDArray[np.float32]
Array: TypeAlias = npt.NDArray[Any]
Picked: TypeAlias = slice | npt.NDArray[np.intp]
WHOLE_ROW: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Features that one reduction of one tensor gives."""

    kind: str
    tensor: str
    reduce: str
    whole: bool
    axis: int
    channels: Picked
    columns: Picked
    last_channel: int


class FeatureReader:
    """Reads the features of one variant, in the order of its serving.json."""

    def __init__(self, serving: Serving) -> None:
        self.names = tuple(feature.name for feature in serving.features)
        self._groups = _groups(serving.features)

    def rows(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Rows:
        """float32 [N, F], a row per row of the tensors; NaN where the tensor is NaN.

        Raises InvalidField if a tensor is missing, or has no such channel.
        """
        result: Rows | None = None
        for group in self._groups:
            source = inputs if group.kind == "input" else outputs
            if group.tensor not in source:
                raise InvalidField(f"there is no {group.kind} {group.tensor!r}", where="features")
            values = _reduce(np.asarray(source[group.tensor]), group)
            if result is None:
                result = np.empty((values.shape[0], len(self.names)), np.float32)
            result[:, group.columns] = values
        return np.empty((0, 0), np.float32) if result is None else result


def _groups(features: Sequence[FeatureSpec]) -> tuple[_Group, ...]:
    columns: dict[tuple[str, str, str, bool, int], list[int]] = {}
    for column, feature in enumerate(features):
        key = (feature.kind, feature.tensor, feature.reduce, feature.channel == WHOLE_ROW, feature.axis)
        columns.setdefault(key, []).append(column)
    return tuple(
        _Group(
            kind=kind,
            tensor=tensor,
            reduce=reduce,
            whole=whole,
            axis=axis,
            channels=_picked([features[column].channel for column in mine]),
            columns=_picked(mine),
            last_channel=max(features[column].channel for column in mine),
        )
        for (kind, tensor, reduce, whole, axis), mine in columns.items()
    )


def _picked(numbers: Sequence[int]) -> Picked:
    """A slice where the numbers follow each other (several times faster), else the numbers."""
    first = numbers[0]
    if first >= 0 and list(numbers) == list(range(first, first + len(numbers))):
        return slice(first, first + len(numbers))
    return np.array(numbers, np.intp)


def _reduce(tensor: Array, group: _Group) -> Array:
    """[N, features of the group], or [N, 1] where all of them have the same value."""
    rows = tensor.shape[0] if tensor.ndim else 0
    if group.reduce in ("top", "entropy", "margin"):
        return _of_probabilities(tensor, group.reduce)[:, None]  # to all features that ask for it
    if group.whole:
        return _fold(tensor.reshape(rows, 1, -1), group)
    if tensor.ndim < 2 or group.last_channel >= tensor.shape[group.axis]:
        raise InvalidField(f"{group.tensor!r} has no channel {group.last_channel}", where="features")
    width = tensor.shape[group.axis]
    if group.axis == CHANNELS_LAST:
        by_channel = tensor.reshape(rows, -1, width).swapaxes(1, 2)
    else:
        by_channel = tensor.reshape(rows, width, -1)
    return _fold(by_channel, group)[:, group.channels]


def _fold(tensor: Array, group: _Group) -> Array:
    """[N, C, M] -> [N, C]."""
    if group.reduce == "value":
        if tensor.shape[2] != 1:
            raise InvalidField(f"{group.tensor!r} has more than one value there", where="features")
        return tensor[:, :, 0]
    if group.reduce == "mean":
        return np.asarray(tensor.mean(axis=2, dtype=np.float32))
    if group.reduce == "std":
        return np.asarray(tensor.std(axis=2, dtype=np.float32))
    return np.asarray(tensor.min(axis=2) if group.reduce == "min" else tensor.max(axis=2))


def _of_probabilities(tensor: Array, reduce: str) -> Array:
    if tensor.ndim != 2 or tensor.shape[1] < 1:
        raise InvalidField(f"{reduce} needs probabilities [N, K]", where="features")
    if reduce == "top" or (reduce == "margin" and tensor.shape[1] == 1):
        return np.asarray(tensor.max(axis=1))
    if reduce == "margin":
        largest = np.partition(tensor, -2, axis=1)
        return np.asarray(largest[:, -1] - largest[:, -2])
    kept = np.maximum(tensor, np.float32(1e-12))  # p·log p -> 0 as p -> 0; NaN stays NaN
    return np.asarray(-(kept * np.log(kept)).sum(axis=1))

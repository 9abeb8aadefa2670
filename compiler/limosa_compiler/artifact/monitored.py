"""Which scalars of a model are watched on devices, by a rule from its shapes (telemetry 1.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from limosa_compiler.limits import LIMITS
from limosa_compiler.recipe.inputs import InputNotes
from limosa_contracts.errors import InvalidField
from limosa_contracts.serving import CHANNELS_FIRST, CHANNELS_LAST, FeatureSpec, TensorSpec

_NUMBERS: Final = ("FP16", "FP32", "FP64")
_WHOLE_ROW: Final = -1
_COLOURS_MAX: Final = 4  # grey, colour, colour with transparency


def features_of(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    notes: Mapping[str, InputNotes],
    *,
    probabilities: str,
) -> tuple[FeatureSpec, ...]:
    """Inputs first, then outputs. Raises InvalidField if a recipe names more channels than there are."""
    found: list[FeatureSpec] = []
    for spec in inputs:
        if spec.dtype == "BYTES":  # texts have no mean
            continue
        found += _of_input(spec, notes.get(spec.name, InputNotes()).channels)
    for spec in outputs:
        found += _of_output(spec, is_probability=spec.name == probabilities)
    return tuple(found[: LIMITS.features_max])


def _of_input(spec: TensorSpec, channels: Sequence[str]) -> list[FeatureSpec]:
    axis = channel_axis(spec.shape)
    width = spec.shape[axis] if len(spec.shape) > 1 else 0
    if channels and len(channels) != width:
        raise InvalidField(
            f"input {spec.name!r} has {width} channels, and {len(channels)} names are given",
            where=f"inputs.{spec.name}.channels",
        )
    if not 0 < width <= LIMITS.features_per_tensor_max:
        folds = ("value",) if len(spec.shape) == 1 else ("mean", "std")
        return [_feature(spec, f"{spec.name} {fold}", _WHOLE_ROW, fold) for fold in folds]
    names = list(channels) or [f"{spec.name}[{channel}]" for channel in range(width)]
    if len(spec.shape) == 2:
        return [_feature(spec, name, channel, "value") for channel, name in enumerate(names)]
    return [
        _feature(spec, f"{name} {fold}", channel, fold, axis=axis)
        for channel, name in enumerate(names)
        for fold in ("mean", "std")
    ]


def _of_output(spec: TensorSpec, *, is_probability: bool) -> list[FeatureSpec]:
    if is_probability:
        return [
            _feature(spec, f"{spec.name} {fold}", _WHOLE_ROW, fold, kind="output")
            for fold in ("top", "entropy", "margin")
        ]
    if spec.dtype not in _NUMBERS:
        return []
    single = len(spec.shape) == 1 or spec.shape[1:] == (1,)
    folds = ("value",) if single else ("mean", "std")
    return [_feature(spec, f"{spec.name} {fold}", _WHOLE_ROW, fold, kind="output") for fold in folds]


def channel_axis(shape: Sequence[int]) -> int:
    """-1 for images [N, H, W, C], whose last axis alone is as short as colours are; else 1.

    >>> channel_axis((-1, 224, 224, 3)), channel_axis((-1, 3, 224, 224)), channel_axis((-1, 6, 100))
    (-1, 1, 1)
    """
    last = len(shape) == 4 and 0 < shape[3] <= _COLOURS_MAX and not 0 < shape[1] <= _COLOURS_MAX
    return CHANNELS_LAST if last else CHANNELS_FIRST


def _feature(
    spec: TensorSpec,
    name: str,
    channel: int,
    reduce: str,
    *,
    kind: str = "input",
    axis: int = CHANNELS_FIRST,
) -> FeatureSpec:
    return FeatureSpec(
        name=name[:128], kind=kind, tensor=spec.name, channel=channel, reduce=reduce, axis=axis
    )

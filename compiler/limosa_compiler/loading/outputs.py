"""What a model's outputs have to be: a row for each row, and one of numbers that the metric reads."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from limosa_compiler.arrays import Arrays
from limosa_compiler.errors import UnsupportedShape
from limosa_compiler.running.stateful import State
from limosa_contracts.errors import InvalidField
from limosa_contracts.serving import TensorSpec


def metric_output(
    wanted: str, outputs: tuple[TensorSpec, ...], states: tuple[State, ...], *, scores: bool
) -> str:
    """The output that the metric reads; texts and states cannot be. Raises InvalidField, UnsupportedShape.

    Without a wish it is the first; of a scikit-learn classifier, its `scores`.
    """
    fed_back = {state.output for state in states}
    names = [spec.name for spec in outputs if spec.dtype != "BYTES" and spec.name not in fed_back]
    if not names:
        raise UnsupportedShape(
            "no output is a tensor of numbers", where="metric.output", hint="export the scores too"
        )
    if not wanted:
        floats = [spec.name for spec in outputs if spec.name in names and spec.dtype.startswith("FP")]
        return floats[0] if scores and floats else names[0]
    if wanted not in names:
        near = get_close_matches(wanted, names, n=1)
        raise InvalidField(
            f"the model has no output {wanted!r} of numbers",
            where="metric.output",
            hint=f"did you mean {near[0]!r}?" if near else f"outputs: {', '.join(names)}",
        )
    return wanted


def require_row_each(answers: Arrays, outputs: Sequence[TensorSpec], *, rows: int, where: str) -> None:
    """`answers` are those to `rows` rows. Raises UnsupportedShape: a device could not tell them apart."""
    for spec in outputs:
        shape = answers[spec.name].shape
        if not shape or shape[0] != rows:
            raise UnsupportedShape(
                f"output {spec.name!r} has not one row per input row",
                where=where,
                why=f"{rows} rows in, shape {list(shape)} out",
            )

"""Which of a model's outputs the metric reads."""

from __future__ import annotations

from difflib import get_close_matches

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

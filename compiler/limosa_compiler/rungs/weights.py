"""How much of a model lies in the weights that a rung would change."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import onnx

from limosa_compiler.errors import RungNotMade
from limosa_compiler.limits import LIMITS


def require_share(prepared: onnx.ModelProto, names: Collection[str], *, where: str) -> None:
    """Raises RungNotMade if the second inputs of nodes `names` are a small share of all constants."""
    sizes = {tensor.name: prod(tensor.dims) for tensor in prepared.graph.initializer}
    weights = {node.input[1] for node in prepared.graph.node if node.name in names}
    share = sum(sizes.get(name, 0) for name in weights) / max(1, sum(sizes.values()))
    if share < LIMITS.weights_share_min:
        raise RungNotMade(
            "too little of the model are matrices of weights",
            where=where,
            why=f"{share:.1%}, and less than {LIMITS.weights_share_min:.0%} is not worth a candidate",
        )

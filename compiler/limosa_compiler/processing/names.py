"""Which nodes of a graph are pre- and postprocessing: they are told by the prefix of their name.

Every rung leaves them in float: a resize or a logarithm gains nothing from 8 bits, and loses the scale.
"""

from __future__ import annotations

PRE = "limosa_pre/"
POST = "limosa_post/"


def is_processing(node_name: str) -> bool:
    """Whether a node was attached by the recipe's `[[preprocess]]` or `[[postprocess]]`.

    >>> is_processing("limosa_pre/0.normalize/sub"), is_processing("conv1")
    (True, False)
    """
    return node_name.startswith((PRE, POST))

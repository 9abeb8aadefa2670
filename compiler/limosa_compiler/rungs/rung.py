"""What a rung is: a name, and a function from a prepared model to a candidate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from limosa_compiler.calibration.range_table import RangeTable
from limosa_compiler.errors import RungNotMade
from limosa_compiler.limits import LIMITS
from limosa_compiler.processing.names import is_processing
from limosa_compiler.search.candidate import Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What candidates are made of."""

    model: onnx.ModelProto  # as it came out of ingest
    prepared: onnx.ModelProto  # folded and fused: the base of quantization
    ranges: RangeTable
    where: str  # names the model in errors
    row_bytes: int = 0  # of all float activations of one row


def processing_nodes(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of attached pre- and postprocessing nodes, in graph order: they stay in float."""
    return tuple(node.name for node in model.graph.node if is_processing(node.name))


def refuse_large_graph(model: onnx.ModelProto, *, where: str) -> None:
    """onnxruntime's quantizers look through all nodes for each node. Raises RungNotMade."""
    count = len(model.graph.node)
    if count > LIMITS.quantized_nodes_max:
        raise RungNotMade(
            "the graph has too many nodes to be quantized",
            where=where,
            why=f"{count}; at most {LIMITS.quantized_nodes_max} are",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """`kind` is what `[search] rungs` names. `make` raises PassFailed or RungNotMade."""

    name: str
    kind: str
    precision: str
    make: Callable[[Material], Candidate]

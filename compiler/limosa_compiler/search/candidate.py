"""One possible model, whoever made it and whatever runs it (compiler 2.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import onnx

from limosa_contracts.json_value import JsonValue
from limosa_contracts.oci import digest_of

FP32: Final = "fp32"
FP16: Final = "fp16"
INT8: Final = "int8"
INT4: Final = "int4"
ONNXRUNTIME: Final = "onnxruntime"
ONNX_FILE: Final = "model.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """`structure` is equal where only constants differ: such candidates are equally fast."""

    name: str
    precision: str  # one of profiles.PRECISIONS: what a profile accepts, or not
    model: bytes
    structure: str
    runtime: str = ONNXRUNTIME  # as profiles name runtimes
    model_file: str = ONNX_FILE  # the model's name in the artifact
    float_nodes: tuple[str, ...] = ()  # nodes of the graph that were kept in float, in graph order
    recipe: Mapping[str, JsonValue] = field(default_factory=dict)  # how it was made: rung, ranges, bits, …

    @property
    def size(self) -> int:
        """Bytes of the model."""
        return len(self.model)

    @property
    def digest(self) -> str:
        return digest_of(self.model)


def candidate(
    name: str,
    precision: str,
    model: onnx.ModelProto,
    *,
    float_nodes: tuple[str, ...] = (),
    recipe: Mapping[str, JsonValue] | None = None,
) -> Candidate:
    """A candidate for onnxruntime; the same model gives the same bytes."""
    return Candidate(
        name=name,
        precision=precision,
        model=model.SerializeToString(deterministic=True),
        structure=structure_of(model),
        float_nodes=float_nodes,
        recipe=recipe or {},
    )


def structure_of(model: onnx.ModelProto) -> str:
    """A digest of operators and wiring, without constants."""
    graph = ";".join(
        f"{node.op_type}({','.join(node.input)})->{','.join(node.output)}" for node in model.graph.node
    )
    return digest_of(graph.encode())

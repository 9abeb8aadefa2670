"""Bytes become a model, or are refused before anything is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no stubs

from limosa_compiler.errors import NotAModel
from limosa_compiler.limits import LIMITS
from limosa_contracts.errors import TooLarge

STANDARD_DOMAINS: Final = ("", "ai.onnx", "ai.onnx.ml")


def read_model(path: Path) -> bytes:
    """Raises NotAModel for what is no file (a device never ends), TooLarge before anything is read."""
    if path.exists() and not path.is_file():
        raise NotAModel("the model is not a file", where=str(path))
    if path.stat().st_size > LIMITS.model_max_bytes:
        raise TooLarge("the model is too large", where=path.name, why=f"{path.stat().st_size} bytes")
    return path.read_bytes()


def parse_model(data: bytes, *, where: str) -> onnx.ModelProto:
    """Raises NotAModel, TooLarge. Foreign bytes are parsed in a child with limits (`ingesting`)."""
    check_size(data, where=where)
    try:
        model = onnx.load_from_string(data)
    except (DecodeError, ValueError) as error:
        raise NotAModel("this is not an ONNX file", where=where, why=str(error)[:200]) from error
    if not model.ir_version or not model.graph.node:
        raise NotAModel("this is not an ONNX model", where=where, why="it has no IR version, or no nodes")
    _refuse_deep(model, where)
    return model


def check_size(data: bytes, *, where: str) -> None:
    """Raises TooLarge."""
    if len(data) > LIMITS.model_max_bytes:
        raise TooLarge("the model is too large", where=where, why=f"{len(data)} bytes")


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the standard operator set, 0 if the model names none."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def _refuse_deep(model: onnx.ModelProto, where: str) -> None:
    """Without recursion: what walks graphs later may use it."""
    level: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    total = 0
    for _ in range(LIMITS.graph_depth_max):
        total += sum(len(graph.node) for graph in level)
        if total > LIMITS.nodes_max:
            raise TooLarge(
                "the model has too many nodes",
                where=where,
                why=f"{total}; at most {LIMITS.nodes_max} are taken",
            )
        level = [
            inner
            for graph in level
            for node in graph.node
            for attribute in node.attribute
            for inner in (*attribute.graphs, *((attribute.g,) if attribute.HasField("g") else ()))
        ]
        if not level:
            return
    raise NotAModel(
        "graphs lie too deep within each other", where=where, why=f"more than {LIMITS.graph_depth_max} levels"
    )

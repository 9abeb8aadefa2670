"""Before quantization: shapes inferred, constants folded, exact fusions made (compiler 2.2)."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import onnx
from onnxruntime.quantization.shape_inference import quant_pre_process

from limosa_compiler.errors import PassFailed
from limosa_compiler.graph_walk import nodes
from limosa_compiler.ingest import STANDARD_DOMAINS, name_nodes
from limosa_compiler.ingest.gemm import flatten_gemm_bias
from limosa_compiler.ingest.shared_constants import share_constants
from limosa_compiler.passes import Context, Pass, PassReport, reported


def fold_and_fuse(model: onnx.ModelProto, context: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """onnxruntime's basic optimizations, which are exact and of standard operators.

    Only the base of quantization: a saved optimized graph is never shipped as it is (compiler 3).
    """
    try:
        result = _pre_processed(model, optimize=True)
        if any(node.domain not in STANDARD_DOMAINS for node in nodes(result)):
            result = _pre_processed(model, optimize=False)
    except RuntimeError as error:
        raise PassFailed("the model cannot be prepared", where=context.where, why=str(error)[:300]) from error
    result.ir_version = model.ir_version
    del result.opset_import[:]
    result.opset_import.extend(model.opset_import)
    changed = abs(len(result.graph.node) - len(model.graph.node))
    return reported("fold_and_fuse", model, result, changed=changed)


PREPARE: Final[Sequence[Pass]] = (fold_and_fuse, share_constants, name_nodes, flatten_gemm_bias)


def _pre_processed(model: onnx.ModelProto, *, optimize: bool) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory(prefix="limosa-") as folder, quiet_runtime():
        # By files: given a model in memory it moves the weights out, and then fails on a Slice's bounds.
        source, path = Path(folder) / "source.onnx", Path(folder) / "prepared.onnx"
        source.write_bytes(model.SerializeToString())
        quant_pre_process(source, path, skip_symbolic_shape=True, skip_optimization=not optimize, verbose=0)
        return onnx.load_from_string(path.read_bytes())


@contextmanager
def quiet_runtime() -> Iterator[None]:
    """The quantizer's advice goes to the root logger; what matters of it is in our reports."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)

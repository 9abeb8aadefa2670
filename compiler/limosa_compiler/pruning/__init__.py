"""Pruning: weights or whole channels are taken out, without any training after it (compiler 2.4)."""

from __future__ import annotations

import onnx

from limosa_compiler.passes import Context, PassReport
from limosa_compiler.pruning.magnitude import prune_magnitude
from limosa_compiler.pruning.structured import prune_structured
from limosa_compiler.recipe.prune import Kind, PruneNotes

__all__ = ["prune"]


def prune(
    model: onnx.ModelProto, notes: PruneNotes, context: Context, /
) -> tuple[onnx.ModelProto, PassReport]:
    """As a pass: the given model is not changed. Raises PassFailed if nothing can be pruned."""
    if notes.kind is Kind.MAGNITUDE:
        return prune_magnitude(model, context, share=notes.share)
    return prune_structured(model, context, share=notes.share, norm=notes.norm)

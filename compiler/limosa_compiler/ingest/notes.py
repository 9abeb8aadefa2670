"""What exporters write for people."""

from __future__ import annotations

import onnx

from limosa_compiler.graph_walk import nodes
from limosa_compiler.passes import Context, PassReport, copy_of, reported


def strip_notes(model: onnx.ModelProto, _: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """Documentation strings and metadata hold paths of the exporter's machine; devices need neither."""
    result = copy_of(model)
    result.doc_string = result.graph.doc_string = ""
    changed = len(result.metadata_props)
    del result.metadata_props[:]
    del result.training_info[:]
    for node in nodes(result):
        changed += bool(node.doc_string) + len(node.metadata_props)
        node.doc_string = ""
        del node.metadata_props[:]
    return reported("strip_notes", model, result, changed=changed)

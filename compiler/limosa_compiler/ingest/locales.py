"""Texts are brought to one case by a locale that small systems have."""

from __future__ import annotations

from typing import Final

import onnx
from onnx import helper

from limosa_compiler.graph_walk import nodes
from limosa_compiler.passes import Context, PassReport, copy_of, reported

PORTABLE: Final = "C.UTF-8"
_DEFAULTS: Final = ("", "en_US", "en_US.UTF-8")


def use_portable_locale(model: onnx.ModelProto, _: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """StringNormalizer asks for en_US unless it is told otherwise, and a model fails to load without it.

    Upper and lower case are the same in C.UTF-8, which is part of the C library.
    """
    result = copy_of(model)
    changed = 0
    for node in nodes(result):
        if node.op_type != "StringNormalizer" or not _changes_case(node):
            continue
        said = next((item for item in node.attribute if item.name == "locale"), None)
        if said is None:
            node.attribute.append(helper.make_attribute("locale", PORTABLE))
        elif said.s.decode(errors="replace") in _DEFAULTS:
            said.s = PORTABLE.encode()
        else:
            continue
        changed += 1
    return reported("use_portable_locale", model, result, changed=changed)


def _changes_case(node: onnx.NodeProto) -> bool:
    return any(
        item.name == "case_change_action" and item.s in (b"LOWER", b"UPPER") for item in node.attribute
    )

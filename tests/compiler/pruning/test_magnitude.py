"""Single weights become zero: what is sent gets smaller, what is stored does not, and that is said."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from limosa_compiler.errors import PassFailed
from limosa_compiler.passes import Context
from limosa_compiler.pruning import prune
from limosa_compiler.pruning.weights import sent_bytes
from limosa_compiler.recipe.prune import Kind, PruneNotes
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from tests.compiler.graphs import model_of

CONTEXT = Context(where="m.onnx", source_bytes=1)
NOTES = PruneNotes(kind=Kind.MAGNITUDE, share=0.75)
WIDTH = 64


def dense(*, shared: bool = False) -> onnx.ModelProto:
    draw = np.random.default_rng(3)
    weights = {name: draw.normal(size=(WIDTH, WIDTH)).astype(np.float32) for name in ("a", "b")}
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"], name="first"),
        helper.make_node("MatMul", ["h", "a" if shared else "b"], ["y"], name="second"),
    ]
    if shared:
        del weights["b"]
    return model_of(nodes, weights, {"x": ["N", WIDTH]}, {"y": ["N", WIDTH]})


def test_three_of_four_weights_of_each_layer_are_zero_and_the_largest_stay() -> None:
    model = dense()
    pruned, report = prune(model, NOTES, CONTEXT)
    for before, after in zip(model.graph.initializer, pruned.graph.initializer, strict=True):
        old, new = numpy_helper.to_array(before), numpy_helper.to_array(after)
        assert (new == 0).mean() == 0.75
        np.testing.assert_array_equal(new[new != 0], old[new != 0])
        assert np.abs(new[new != 0]).min() >= np.abs(old[new == 0]).max()
    assert report.changed == 2 * WIDTH * WIDTH * 3 // 4


def test_report_says_that_only_the_transfer_gets_smaller() -> None:
    model = dense()
    pruned, report = prune(model, NOTES, CONTEXT)
    assert pruned.ByteSize() == model.ByteSize()
    assert sent_bytes(pruned) < 0.5 * sent_bytes(model)
    assert "as large and as fast as before" in report.note


def test_weights_that_two_layers_share_are_left_alone() -> None:
    with pytest.raises(PassFailed):
        prune(dense(shared=True), NOTES, CONTEXT)


def test_block_of_the_recipe_knows_its_keys() -> None:
    assert PruneNotes.parse(Fields({"kind": "structured"}, where="prune")).share == 0.3
    wrong: list[dict[str, JsonValue]] = [
        {"kind": "random"},
        {"kind": "magnitude", "share": 1},
        {"kind": "magnitude", "shares": 0.5},
    ]
    for document in wrong:
        with pytest.raises(InvalidField):
            PruneNotes.parse(Fields(document, where="prune"))

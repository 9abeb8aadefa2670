"""Models that fell over before, and what becomes of them (compiler 3)."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from limosa_compiler.errors import CustomOperator, ExternalData, NotAModel, UnsupportedVersion
from limosa_compiler.ingest import INGEST, IR_MAX, OPSET_MAX, OPSET_MIN, opset_of, parse_model
from limosa_compiler.limits import CompilerLimits
from limosa_compiler.passes import Context, PassReport, run_passes
from limosa_compiler.running.runner import Runner
from limosa_contracts.errors import TooLarge
from tests.compiler.graphs import HIDDEN, classifier, model_of, rows


def ingest(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, PassReport]]:
    context = Context(where="m.onnx", source_bytes=0)
    result, reports = run_passes(model, INGEST, context, on_pass=lambda report: None)
    return result, {report.name: report for report in reports}


def answers(model: onnx.ModelProto) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    outputs = Runner(model.SerializeToString()).predict({"x": rows(50)["x"]})
    return np.asarray(next(iter(outputs.values())), np.float32)


@pytest.mark.parametrize("data", [b"", b"not an ONNX file", b"\x89PNG\r\n\x1a\n" * 40, b"{}", b"\x00" * 64])
def test_file_that_is_no_model_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(NotAModel) as refused:
        parse_model(data, where="photo.png")
    assert refused.value.where == "photo.png"


def test_model_larger_than_the_limit_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limosa_compiler.ingest.parsing.LIMITS", CompilerLimits(model_max_bytes=10))
    with pytest.raises(TooLarge):
        parse_model(b"x" * 11, where="m.onnx")


def test_graph_that_names_a_tensor_nobody_makes_is_refused() -> None:
    broken = model_of(
        [helper.make_node("Relu", ["ghost"], ["y"], name="relu")], {}, {"x": ["N", 4]}, {"y": ["N", 4]}
    )
    with pytest.raises(NotAModel, match="ghost"):
        ingest(broken)


def test_what_onnx_writes_by_default_is_newer_than_devices_load_and_converted() -> None:
    newest = classifier(opset=onnx.defs.onnx_opset_version(), ir=onnx.IR_VERSION)
    result, reports = ingest(newest)
    assert (opset_of(result), result.ir_version) == (OPSET_MAX, IR_MAX)
    assert reports["pin_versions"].changed == 1
    np.testing.assert_allclose(answers(result), answers(classifier()), atol=1e-6)


def test_operator_that_devices_do_not_have_yet_is_named() -> None:
    """Swish came with opset 24."""
    model = model_of(
        [helper.make_node("Swish", ["x"], ["y"], name="swish")],
        {},
        {"x": ["N", 4]},
        {"y": ["N", 4]},
        opset=24,
        ir=12,
    )
    with pytest.raises(UnsupportedVersion) as refused:
        ingest(model)
    assert "Swish" in refused.value.why
    assert "opset_version=17" in refused.value.hint


def test_opset_of_the_future_is_refused() -> None:
    model = classifier()
    model.opset_import[0].version = 99
    with pytest.raises(UnsupportedVersion, match="newest known"):
        ingest(model)


def test_newer_ir_with_an_older_opset_is_lowered() -> None:
    result, _ = ingest(classifier(opset=17, ir=IR_MAX + 2))
    assert (opset_of(result), result.ir_version) == (17, IR_MAX)
    np.testing.assert_allclose(answers(result), answers(classifier()), atol=1e-6)


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 16])
def test_older_opset_is_converted_and_answers_the_same(opset: int) -> None:
    old = classifier(opset=opset, ir=7)
    result, reports = ingest(old)
    assert opset_of(result) == OPSET_MIN
    assert 8 <= result.ir_version <= IR_MAX
    assert reports["pin_versions"].changed == 1
    np.testing.assert_allclose(answers(result), answers(classifier()), atol=1e-6)


def test_opset_older_than_can_be_converted_is_refused() -> None:
    with pytest.raises(UnsupportedVersion, match="too old"):
        ingest(classifier(opset=6, ir=7))


@pytest.mark.parametrize("opset, ir", [(17, 8), (18, 8), (19, 9), (21, 10)])
def test_version_that_devices_load_is_kept(opset: int, ir: int) -> None:
    result, _ = ingest(classifier(opset=opset, ir=ir))
    assert (opset_of(result), result.ir_version) == (opset, ir)


def test_weights_in_another_file_are_refused() -> None:
    model = classifier()
    weight = model.graph.initializer[0]
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    with pytest.raises(ExternalData) as refused:
        ingest(model)
    assert "wide" in refused.value.why


def test_external_weights_hidden_in_a_branch_of_an_if_are_refused() -> None:
    inner = numpy_helper.from_array(np.ones(4, np.float32), "w")
    inner.data_location = TensorProto.EXTERNAL
    entry = inner.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    branch = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["out"], name="inside")],
        "branch",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [4])],
        [inner],
    )
    nodes = [
        helper.make_node("If", ["yes"], ["w_out"], name="if", then_branch=branch, else_branch=branch),
        helper.make_node("Add", ["x", "w_out"], ["y"], name="add"),
    ]
    model = model_of(nodes, {"yes": np.array(True)}, {"x": ["N", 4]}, {"y": ["N", 4]})
    with pytest.raises(ExternalData):
        ingest(model)


def test_custom_operator_is_refused_by_its_name() -> None:
    model = model_of(
        [helper.make_node("FancyNms", ["x"], ["y"], name="nms", domain="com.acme")],
        {},
        {"x": ["N", 4]},
        {"y": ["N", 4]},
    )
    model.opset_import.append(helper.make_opsetid("com.acme", 1))
    with pytest.raises(CustomOperator, match=r"com\.acme::FancyNms"):
        ingest(model)


def test_function_that_the_model_brings_along_is_inlined() -> None:
    twice = helper.make_function(
        "local",
        "Twice",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    model = model_of(
        [helper.make_node("Twice", ["x"], ["y"], name="twice", domain="local")],
        {},
        {"x": ["N", 4]},
        {"y": ["N", 4]},
    )
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.functions.append(twice)
    result, _ = ingest(model)
    assert [node.op_type for node in result.graph.node] == ["Add"]


def test_unnamed_nodes_get_the_same_names_each_time_and_named_ones_keep_theirs() -> None:
    unnamed = classifier(names=False)
    unnamed.graph.node[1].name = "Gemm_0"
    first, reports = ingest(unnamed)
    again, _ = ingest(unnamed)
    names = [node.name for node in first.graph.node]
    assert names == ["Gemm_0_1", "Gemm_0", "Gemm_2", "Gemm_3", "Softmax_4"]
    assert names == [node.name for node in again.graph.node]
    assert reports["name_nodes"].changed == 4


def test_gemm_bias_of_two_dimensions_is_flattened_and_answers_the_same() -> None:
    result, reports = ingest(classifier(bias_rank=2))
    assert reports["flatten_gemm_bias"].changed == 3
    shapes = {tensor.name: list(tensor.dims) for tensor in result.graph.initializer}
    assert shapes["first_flat"] == [HIDDEN]
    assert "first" not in shapes
    np.testing.assert_array_equal(answers(result), answers(classifier()))


def test_constants_listed_as_inputs_are_no_longer_inputs() -> None:
    model = classifier()
    model.graph.input.append(helper.make_tensor_value_info("wide", TensorProto.FLOAT, [4, HIDDEN]))
    result, reports = ingest(model)
    assert [value.name for value in result.graph.input] == ["x"]
    assert reports["drop_constant_inputs"].changed == 1


def test_a_pass_leaves_the_model_it_was_given_as_it_was() -> None:
    model = classifier(opset=13, ir=7, bias_rank=2, names=False)
    before = model.SerializeToString(deterministic=True)
    ingest(model)
    assert model.SerializeToString(deterministic=True) == before


def test_paths_of_the_exporters_machine_do_not_travel() -> None:
    model = classifier()
    model.doc_string = "exported on build-host"
    model.graph.node[0].doc_string = "secret/train.py:12"
    model.metadata_props.add(key="source", value="secret")
    result, _ = ingest(model)
    assert b"secret" not in result.SerializeToString()
    assert b"build-host" not in result.SerializeToString()


def calling(*, functions: int, calls: int, last: str = "Relu") -> onnx.ModelProto:
    """Functions F0, F1, …: each calls the one before it `calls` times; the graph calls the last."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    made = []
    for number in range(functions):
        callee, domain = (last, "" if last == "Relu" else "f") if number == 0 else (f"F{number - 1}", "f")
        names = ["a", *(f"t{i}" for i in range(calls - 1)), "b"]
        body = [helper.make_node(callee, [names[i]], [names[i + 1]], domain=domain) for i in range(calls)]
        made.append(helper.make_function("f", f"F{number}", ["a"], ["b"], body, opsets))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in "xy")
    graph = helper.make_graph(
        [helper.make_node(f"F{functions - 1}", ["x"], ["y"], domain="f")], "g", [x], [y]
    )
    return helper.make_model(graph, functions=made, opset_imports=opsets, ir_version=9)


def test_functions_that_double_thirty_times_are_refused_before_they_are_written_out() -> None:
    """2 KB of file, 2^30 nodes: it took all of the machine's memory."""
    with pytest.raises(TooLarge, match=str(2**30)):
        ingest(calling(functions=30, calls=2))


def test_functions_in_reason_are_written_out() -> None:
    model, _ = ingest(calling(functions=4, calls=2))
    assert [node.op_type for node in model.graph.node] == ["Relu"] * 16


@pytest.mark.parametrize("functions", [1, 200])
def test_functions_without_an_end_are_refused(functions: int) -> None:
    """One that calls itself; and a chain that is deeper than any model."""
    with pytest.raises(NotAModel):
        ingest(calling(functions=functions, calls=1, last="F0" if functions == 1 else "Relu"))

"""A session that gives its memory back answers as one that keeps it (compiler 8)."""

from __future__ import annotations

import numpy as np
import onnxruntime

from limosa_compiler.running.runner import Runner
from tests.compiler.graphs import classifier, rows


def test_memory_that_is_given_back_changes_no_bit_of_what_is_answered() -> None:
    model, x = classifier().SerializeToString(), rows(150)["x"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    plain = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    runner = Runner(model, batch_rows=32)
    for _ in range(2):  # memory is taken anew for the second time
        batches = list(runner.answers({"x": x}))
        assert [len(batch[name]) for batch in batches for name in batch] == [32, 32, 32, 32, 22]
        for begin, batch in zip(range(0, 150, 32), batches, strict=True):
            expected = plain.run(None, {"x": x[begin : begin + 32]})
            for name, want in zip(runner.output_names, expected, strict=True):
                assert batch[name].tobytes() == want.tobytes()
    whole = runner.predict({"x": x})
    for name in runner.output_names:
        np.testing.assert_array_equal(whole[name], np.concatenate([batch[name] for batch in batches]))


def test_only_the_output_that_is_asked_for_is_answered() -> None:
    runner = Runner(classifier().SerializeToString())
    name = runner.output_names[-1]
    (batch,) = runner.answers({"x": rows(9)["x"]}, (name,))
    assert list(batch) == [name]

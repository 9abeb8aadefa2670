"""Hostile models meet limits, not the compiler's memory (trust 7.2)."""

from __future__ import annotations

import resource

import numpy as np
import pytest

from limosa_compiler.errors import ModelRefused
from limosa_compiler.limits import ChildLimits
from limosa_compiler.running.limited_child import run_limited
from tests.compiler.graphs import FEATURES, bomb, classifier, rows


def test_good_model_answers_as_it_does_here() -> None:
    x = rows(130)["x"]
    scores = run_limited(classifier().SerializeToString(), {"x": x}, what="m")["scores"]
    np.testing.assert_array_equal(scores.argmax(axis=1), x[:, :3].argmax(axis=1))


@pytest.mark.parametrize("gigabytes", [2, 16])
def test_hundred_bytes_that_want_gigabytes_are_refused_and_this_process_stays_small(gigabytes: int) -> None:
    data = bomb(gigabytes * 1024**3 // 4).SerializeToString()
    assert len(data) < 300
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelRefused) as refused:
        run_limited(data, {"x": np.zeros((1, FEATURES), np.float32)}, what="bomb.onnx")
    assert refused.value.where == "bomb.onnx"
    assert refused.value.why
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


def test_model_that_does_not_end_in_time_is_stopped() -> None:
    with pytest.raises(ModelRefused, match="stopped after"):
        run_limited(
            bomb(10).SerializeToString(),
            {"x": np.zeros((1, FEATURES), np.float32)},
            what="slow",
            limits=ChildLimits(wall_s=0.01),
        )


def test_bytes_that_are_no_model_are_refused_with_the_runtimes_words() -> None:
    with pytest.raises(ModelRefused) as refused:
        run_limited(b"garbage", {"x": np.zeros((1, 1), np.float32)}, what="m")
    assert "ONNX" in refused.value.why or "rotobuf" in refused.value.why

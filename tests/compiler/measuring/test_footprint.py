"""Memory and load time of models, each in a fresh process that can break without harm (compiler 2.6)."""

from __future__ import annotations

import numpy as np

from limosa_compiler.limits import ChildLimits
from limosa_compiler.measuring.footprint import FootprintMeter
from tests.compiler.graphs import bomb, classifier, rows

ROW = {"x": rows(1)["x"]}
MIB = 1024**2


def test_model_that_allocates_more_is_measured_as_more_and_the_same_model_as_the_same() -> None:
    with FootprintMeter() as meter:
        small, again, large = (
            meter.of(model.SerializeToString(), ROW)
            for model in (classifier(), classifier(), bomb(16 * MIB))  # 64 MiB of floats
        )
    assert small.memory_bytes is not None
    assert again.memory_bytes is not None
    assert large.memory_bytes is not None
    assert abs(again.memory_bytes - small.memory_bytes) < 2 * MIB
    assert 60 * MIB < large.memory_bytes - small.memory_bytes < 160 * MIB
    assert small.load_ms is not None
    assert small.load_ms > 0


def test_model_that_breaks_is_not_measured_and_the_next_one_is() -> None:
    with FootprintMeter(limits=ChildLimits(cpu_s=5)) as meter:
        for model in (b"no model", bomb(4 * 1024**3).SerializeToString()):
            broken = meter.of(model, ROW)
            assert (broken.memory_bytes, broken.load_ms) == (None, None)
            assert broken.why
        assert meter.of(classifier().SerializeToString(), ROW).memory_bytes is not None


def test_row_that_no_child_can_be_given_is_not_measured() -> None:
    with FootprintMeter() as meter:
        assert meter.of(b"", {"x": np.array([{}], object)}).why

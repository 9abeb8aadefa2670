"""The model as it came, which is what every other candidate is held against."""

from __future__ import annotations

import onnx

from limosa_compiler.search.candidate import FP32, Candidate, candidate


def make(model: onnx.ModelProto) -> Candidate:
    return candidate(FP32, FP32, model, recipe={"rung": FP32})

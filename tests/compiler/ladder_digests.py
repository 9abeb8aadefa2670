"""Prints a digest for every candidate of every rung, and of a search: run in processes of their own."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import onnx
from onnx import helper

from limosa_compiler.errors import RungNotMade
from limosa_compiler.limits import LIMITS
from limosa_compiler.recipe.search import SearchNotes
from limosa_compiler.running.runner import Runner
from limosa_compiler.running.runs import Runs
from limosa_compiler.search.sensitivity import Sample, Search, rank, search
from limosa_compiler.search.strategies import strategy_for
from limosa_contracts.oci import digest_of
from limosa_contracts.profiles import load_profiles
from tests.compiler.graphs import model_of
from tests.compiler.rungs.material import material_of

DEPTH, WIDE = 8, 192  # the second product is large enough for 4 bits
KINDS = ("fp16", "int4", "int8", "int8-dynamic", "sensitivity")


def mixed() -> onnx.ModelProto:
    """A convolution, large products with and without a bias, and two branches that meet; nothing is named."""
    draw = np.random.default_rng(11)

    def weights(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return draw.normal(scale=0.2, size=shape).astype(np.float32)

    constants: dict[str, np.ndarray[Any, Any]] = {
        "k": weights(DEPTH, 3, 3),
        "w": weights(DEPTH * 16, WIDE),
        "b": weights(1, WIDE),
        "v": weights(WIDE, WIDE),
        "u": weights(WIDE, 4),
        "flat": np.array([-1, DEPTH * 16], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], pads=[1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Reshape", ["r", "flat"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["g"]),
        helper.make_node("MatMul", ["g", "v"], ["m"]),
        helper.make_node("Sigmoid", ["g"], ["s"]),
        helper.make_node("Mul", ["m", "s"], ["p"]),
        helper.make_node("MatMul", ["p", "u"], ["y"]),
    ]
    return model_of(nodes, constants, {"x": ["N", 3, 16]}, {"y": ["N", 4]})


def load(model: bytes, what: str) -> Runs:
    return Runner(model, what=what)


def digests() -> dict[str, str]:
    x = {"x": np.random.default_rng(2).normal(size=(96, 3, 16)).astype(np.float32)}
    material = material_of(mixed(), x)
    profiles = [load_profiles()[name] for name in ("rpi5", "n100", "generic-x86-64")]
    strategy = strategy_for(profiles, SearchNotes(rungs=KINDS, cache=False))
    found = {"ranges": material.ranges.digest}
    for rung in strategy.rungs:
        try:
            found[rung.name] = rung.make(material).digest
        except RungNotMade as why:
            found[rung.name] = str(why)
    sample = Sample(inputs=x, answers=load(material.model.SerializeToString(), "fp32").predict(x))
    setting = strategy.settings[0]
    ranking = rank(material, setting, sample, load=load, nodes_max=LIMITS.ranked_nodes_max)
    found["ranking"] = digest_of(json.dumps([item.as_json() for item in ranking]).encode())
    steps = Search(material=material, setting=setting, ranking=ranking, sample=sample, load=load)
    for item in search(steps, float_nodes_max=3, holds=lambda one: len(one.float_nodes) >= 2):
        found[item.name] = item.digest
    answers = load(material.model.SerializeToString(), "fp32").predict(x)["y"]
    found["answers"] = digest_of(answers.tobytes())
    return found


if __name__ == "__main__":
    json.dump(digests(), sys.stdout)

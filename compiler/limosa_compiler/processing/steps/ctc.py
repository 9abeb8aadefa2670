"""The best path of a CTC recogniser, without repeats and blanks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from limosa_compiler.processing.graph_parts import GraphParts, Value
from limosa_compiler.processing.limits import LIMITS
from limosa_compiler.processing.parameters import param, whole
from limosa_compiler.processing.step import FLOATS, Step, need_dtype, need_rank


@dataclass(frozen=True, slots=True, kw_only=True)
class CtcGreedy(Step):
    name: ClassVar[str] = "ctc_greedy"
    says: ClassVar[str] = (
        "[N, time, classes] -> int64 [N, time]: the best class of each step, repeats and blanks taken out, "
        "-1 at the end. Turning classes into characters is the application's."
    )
    equals: ClassVar[str] = "`[k for k, _ in itertools.groupby(x.argmax(-1)) if k != blank]`"
    sensitive: ClassVar[str] = "jumps: where two scores are nearly equal, either may win"

    blank: int = param(whole(0, LIMITS.classes_max), default=0, says="the class that stands for nothing")

    def build(self, parts: GraphParts, value: Value) -> Value:
        """Kept steps get keys time - t, others 0: the largest keys first are the kept steps in order."""
        need_dtype(value.type, FLOATS, parts.place)
        need_rank(value.type, (3,), parts.place)
        if 0 < value.type.shape[2] <= self.blank:
            raise parts.place.refused(f"blank {self.blank} is none of the classes of {value.type}")
        best = parts.node("ArgMax", value.name, axis=2, keepdims=0)
        none = parts.constant(np.array(-1, np.int64))
        before = parts.node(
            "Slice",
            parts.node("Pad", best, parts.whole(0, 1, 0, 0), none),
            parts.whole(0),
            parts.whole(-1),
            parts.whole(1),
        )
        dropped = parts.node(
            "Or",
            parts.node("Equal", best, before),
            parts.node("Equal", best, parts.constant(np.array(self.blank, np.int64))),
        )
        steps = parts.size_of(value, 1)
        zero, one = (parts.constant(np.array(number, np.int64)) for number in (0, 1))
        falling = parts.node("Sub", steps, parts.node("Range", zero, parts.node("Squeeze", steps), one))
        keys, order = parts.node_of("TopK", (parts.node("Where", dropped, zero, falling), steps), 2, axis=1)
        packed = parts.node("GatherElements", best, order, axis=1)
        result = parts.node("Where", parts.node("Equal", keys, zero), none, packed)
        return Value(name=result, type=value.type.with_dtype("int64").with_shape(value.type.shape[:2]))

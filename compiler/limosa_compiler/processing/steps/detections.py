"""Boxes of a detector to a fixed number of rows per image: one row of the answer per row that came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from limosa_compiler.processing.graph_parts import GraphParts, Value
from limosa_compiler.processing.limits import LIMITS
from limosa_compiler.processing.parameters import flag, number, one_of, param, text, whole
from limosa_compiler.processing.step import ManyStep, need_dtype, need_rank
from limosa_compiler.processing.tensor_type import FREE, TensorType

_NOTHING: Final = -1.0  # fills the rows of which there are no detections


@dataclass(frozen=True, slots=True, kw_only=True)
class Nms(ManyStep):
    name: ClassVar[str] = "nms"
    says: ClassVar[str] = (
        "Non-maximum suppression per class: boxes [N, M, 4] and scores [N, C, M], both ≥ 0, to "
        "[N, detections, 6] of x1, y1, x2, y2, score, class, the best first; rows of -1 where there are "
        "fewer. Boxes of corners keep their order of coordinates."
    )
    equals: ClassVar[str] = "`torchvision.ops.batched_nms` per image, the best `detections` of all classes"
    sensitive: ClassVar[str] = "jumps: overlaps and scores next to their thresholds may fall on either side"

    boxes: str = param(text(), says="the output that has the boxes; it is replaced")
    detections: int = param(whole(1, LIMITS.detections_max), default=100, says="rows per image")
    overlap: float = param(
        number(0.0, 1.0), default=0.5, says="intersection over union above which the weaker goes"
    )
    score: float = param(number(0.0, 1.0), default=0.25, says="weaker ones are none")
    format: str = param(
        one_of("corners", "center"), default="corners", says="`center` is cx, cy, width, height"
    )
    keep_boxes: bool = param(flag(), default=False, says="keep the output of the boxes too")

    def build_many(
        self, parts: GraphParts, name: str, outputs: Mapping[str, Value], target: str
    ) -> Mapping[str, Value | None]:
        if self.boxes not in outputs or self.boxes == name:
            raise parts.place.refused(
                f"there is no other output {self.boxes!r}", hint=f"outputs: {', '.join(sorted(outputs))}"
            )
        scores, boxes = outputs[name], outputs[self.boxes]
        self._check(parts, scores.type, boxes.type)
        kept = self._kept(parts, scores, boxes)
        flat = parts.reshape(kept, (0, -1))
        best, position = parts.node_of(
            "TopK", (self._filled(parts, flat, scores), parts.whole(self.detections)), 2, axis=1
        )
        count = parts.size_of(scores, 2)
        class_of = parts.cast(parts.node("Div", position, count), "float32")
        box_of = parts.node("Unsqueeze", parts.node("Mod", position, count), parts.whole(2))
        corners = parts.node("GatherND", self._corners(parts, boxes.name), box_of, batch_dims=1)
        columns = [corners, *(parts.node("Unsqueeze", one, parts.whole(2)) for one in (best, class_of))]
        rows = parts.node("Concat", *columns, axis=2)
        there = parts.node("GreaterOrEqual", best, parts.constant(np.array(0, np.float32)))
        result = parts.node(
            "Where",
            parts.node("Unsqueeze", there, parts.whole(2)),
            rows,
            parts.constant(np.array(_NOTHING, np.float32)),
        )
        made = TensorType(dtype="float32", shape=(scores.type.shape[0], self.detections, 6))
        gone: dict[str, Value | None] = {} if self.keep_boxes else {self.boxes: None}
        return {**gone, target: Value(name=result, type=made)}

    def _check(self, parts: GraphParts, scores: TensorType, boxes: TensorType) -> None:
        for one in (scores, boxes):
            need_dtype(one, ("float32",), parts.place)
            need_rank(one, (3,), parts.place)
        if boxes.shape[2] not in (FREE, 4):
            raise parts.place.refused(f"boxes have 4 numbers, and {self.boxes!r} is {boxes}")
        if FREE not in (scores.shape[2], boxes.shape[1]) and scores.shape[2] != boxes.shape[1]:
            raise parts.place.refused(
                f"scores {scores} and boxes {boxes} have different numbers of boxes",
                hint="scores are [N, classes, boxes]; a transpose step turns [N, boxes, classes]",
            )

    def _kept(self, parts: GraphParts, scores: Value, boxes: Value) -> str:
        """[N, C, M]: the scores of boxes that stay, -1 for the others."""
        chosen = parts.node(
            "NonMaxSuppression",
            boxes.name,
            scores.name,
            parts.whole(self.detections),
            parts.constant(np.array([self.overlap], np.float32)),
            parts.constant(np.array([self.score], np.float32)),
            center_point_box=int(self.format == "center"),
        )
        nothing = parts.node(
            "Expand", parts.constant(np.array(_NOTHING, np.float32)), parts.node("Shape", scores.name)
        )
        return parts.node("ScatterND", nothing, chosen, parts.node("GatherND", scores.name, chosen))

    def _filled(self, parts: GraphParts, flat: str, scores: Value) -> str:
        """With as many -1 behind as rows are wanted: there may be fewer boxes than that."""
        pads = parts.whole(0, 0, 0, self.detections)
        return parts.node("Pad", flat, pads, parts.constant(np.array(_NOTHING, np.float32)))

    def _corners(self, parts: GraphParts, boxes: str) -> str:
        if self.format == "corners":
            return boxes
        centre, size = (
            parts.node("Slice", boxes, parts.whole(begin), parts.whole(begin + 2), parts.whole(2))
            for begin in (0, 2)
        )
        half = parts.node("Mul", size, parts.constant(np.array(0.5, np.float32)))
        return parts.node("Concat", parts.node("Sub", centre, half), parts.node("Add", centre, half), axis=2)

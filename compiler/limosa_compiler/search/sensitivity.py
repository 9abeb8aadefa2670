"""Sensitivity search: which few nodes must stay in float so that the rest may be int8 (compiler 2.5).

Nodes are quantized one at a time and ranked by the noise that each alone puts into the output. The worst
k stay in float; k is bisected on that noise, which needs no labels, and then confirmed with the metric,
which is not monotone in k, on tune rows only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from limosa_compiler.arrays import Array, Arrays
from limosa_compiler.errors import ModelRefused, PassFailed, RungNotMade
from limosa_compiler.evidence.parts import NodeSensitivity
from limosa_compiler.rungs import static_int8
from limosa_compiler.rungs.rung import Material, processing_nodes
from limosa_compiler.rungs.static_int8 import Setting, quantizable
from limosa_compiler.running.runs import Runs
from limosa_compiler.search.candidate import Candidate
from limosa_compiler.search.fake_quantization import with_quantized
from limosa_compiler.search.noise import SQNR_MAX_DB, worst_sqnr_db

TARGETS_DB: Final = (20.0, 30.0)  # noise of 1 % and of 0.1 % of the output's power
CONFIRMATIONS_MAX: Final = 3  # smaller k that are tried after one that holds
# These move or clamp values: they take the quantization of their neighbours, and add none.
_PASSING: Final = frozenset(
    {"ArgMax", "Clip", "Concat", "Flatten", "Gather", "GatherElements", "GlobalMaxPool", "MaxPool", "Pad"}
    | {"Relu", "Reshape", "Resize", "Slice", "Split", "Squeeze", "TopK", "Transpose", "Unsqueeze", "Where"}
)
Load = Callable[[bytes, str], Runs]
Holds = Callable[[Candidate], bool]
"""Whether a candidate meets the gate on tune rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Rows on which noise is measured, and what the float model answers."""

    inputs: Mapping[str, Array]
    answers: Arrays

    def noise_of(self, runner: Runs) -> float:
        """The output's SQNR in dB."""
        return worst_sqnr_db(self.answers, runner.predict(self.inputs))


def rank(
    material: Material, setting: Setting, sample: Sample, *, load: Load, nodes_max: int
) -> tuple[NodeSensitivity, ...]:
    """Worst first; nodes that are equally bad in graph order. At most `nodes_max`, those with most weights.

    A node that cannot be tried alone is left out: the quantizer leaves it alone too.
    """
    ranges = material.ranges.named(setting.ranges)
    keep = processing_nodes(material.prepared)
    tried = [
        node
        for node in quantizable(material.prepared, setting, keep=keep)
        if node.op_type not in _PASSING and any(name in ranges for name in (*node.input, *node.output))
    ]
    found: list[NodeSensitivity] = []
    for node in tried[:nodes_max]:
        model = with_quantized(material.prepared, node.name, ranges, weight_bits=setting.weight_bits)
        try:
            noise = sample.noise_of(load(model.SerializeToString(), node.name))
        except ModelRefused:
            continue
        found.append(NodeSensitivity(name=node.name, op_type=node.op_type, sqnr_db=round(noise, 3)))
    return tuple(sorted(found, key=lambda item: item.sqnr_db))


@dataclass(slots=True, kw_only=True)
class Search:
    """One search from one setting. Every model that it makes is kept, by k."""

    material: Material
    setting: Setting
    ranking: Sequence[NodeSensitivity]
    sample: Sample
    load: Load
    made: dict[int, tuple[Candidate, float] | None] = field(default_factory=dict)

    def at(self, k: int) -> tuple[Candidate, float] | None:
        """(candidate, SQNR in dB) with the worst k in float; None if there is none such."""
        if k not in self.made:
            self.made[k] = self._make(k)
        return self.made[k]

    def least_k(self, target_db: float, most: int) -> int | None:
        """Least k whose output has `target_db`, by bisection; None if not even `most` has."""
        if self.db(most) < target_db:
            return None
        low, high = 0, most
        while low < high:
            middle = (low + high) // 2
            if self.db(middle) >= target_db:
                high = middle
            else:
                low = middle + 1
        return high

    def holds(self, k: int, holds: Holds) -> bool:
        made = self.at(k)
        return made is not None and holds(made[0])

    def db(self, k: int) -> float:
        made = self.at(k)
        return made[1] if made else -SQNR_MAX_DB

    def _make(self, k: int) -> tuple[Candidate, float] | None:
        worst = {item.name for item in self.ranking[:k]}
        names = tuple(node.name for node in self.material.prepared.graph.node if node.name in worst)
        try:
            made = static_int8.make(
                self.material, self.setting, name=f"{self.setting.name}-float{k}", float_nodes=names
            )
            return made, self.sample.noise_of(self.load(made.model, made.name))
        except (PassFailed, RungNotMade, ModelRefused):
            return None


def search(steps: Search, *, float_nodes_max: int, holds: Holds) -> tuple[Candidate, ...]:
    """Candidates worth measuring: the least k found that holds, and the most that may stay in float, in
    case holdout rows do not confirm the former; where none holds, the one with least noise.

    k grows through what the noise asks for to the most that is allowed, until the metric holds; then
    smaller ones are tried, at most CONFIRMATIONS_MAX. () if none can be made.
    """
    most = min(float_nodes_max, len(steps.ranking) - 1)
    if most <= 0:
        return ()
    noise = [steps.least_k(target, most) for target in TARGETS_DB]
    failed = 0
    for k in sorted({max(1, k) for k in (*noise, (most + 1) // 2, most) if k is not None}):
        if steps.holds(k, holds):
            return _candidates(steps, (_smaller(steps, failed, k, holds), most))
        failed = k
    return _candidates(steps, (max(steps.made, key=lambda k: (steps.db(k), -k)),))


def _smaller(steps: Search, failed: int, k: int, holds: Holds) -> int:
    """A smaller k that holds too, found by bisecting on the metric; not sure to be the least."""
    low, high = failed + 1, k
    for _ in range(CONFIRMATIONS_MAX):
        if low >= high:
            break
        middle = (low + high) // 2
        if steps.holds(middle, holds):
            high = middle
        else:
            low = middle + 1
    return high


def _candidates(steps: Search, numbers: Sequence[int]) -> tuple[Candidate, ...]:
    found = [steps.at(k) for k in dict.fromkeys(numbers)]
    return tuple(made[0] for made in found if made)

"""Which tensor of the new blob continues which of the base: by name, else by order among equals."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass

from limosa_contracts.delta.tensors_found import TENSOR_MIN_BYTES, Found, FoundTensor


@dataclass(frozen=True, slots=True)
class Pair:
    base: FoundTensor
    new: FoundTensor


def pair_tensors(base: Found, new: Found) -> list[Pair]:
    """Pairs of the same type and length, in the order of the new blob; no tensor occurs twice."""
    named = base.by_name()
    pairs: dict[int, Pair] = {}
    taken: set[int] = set()
    for tensor in new.tensors:
        same = named.get(tensor.name)
        if same and _alike(same) == _alike(tensor) and same.start not in taken:
            pairs[tensor.start] = Pair(same, tensor)
            taken.add(same.start)
    others: dict[tuple[str, tuple[int, ...], int], deque[FoundTensor]] = defaultdict(deque)
    for tensor in base.tensors:
        if tensor.start not in taken:
            others[_alike(tensor)].append(tensor)
    for tensor in new.tensors:
        if tensor.start not in pairs and others[_alike(tensor)]:
            pairs[tensor.start] = Pair(others[_alike(tensor)].popleft(), tensor)
    return [pairs[start] for start in sorted(pairs) if pairs[start].new.length >= TENSOR_MIN_BYTES]


def _alike(tensor: FoundTensor) -> tuple[str, tuple[int, ...], int]:
    return tensor.kind, tensor.shape, tensor.length

"""How a model's runtime is set up on this device. Imports nothing heavy: the supervisor reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

CPU: Final = "CPUExecutionProvider"
PROVIDERS_MAX: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """The pool sends them to each worker as one JSON object."""

    providers: tuple[str, ...] = (CPU,)  # onnxruntime's execution providers, the preferred one first
    intra_op_threads: int = 0  # threads inside one run; 0: as the limits of serving say
    arena: bool = True  # onnxruntime keeps memory it has freed for the next run (agent 5.4)
    graph_cache: bool = False  # load optimised graphs that lie beside the slot (agent 5.3)

    @classmethod
    def parse(cls, value: JsonValue) -> Self:
        """Raises InvalidField."""
        fields = Fields(value, where="runtime")
        options = cls(
            providers=fields.texts("providers", max_items=PROVIDERS_MAX),
            intra_op_threads=fields.integer("intra_op_threads", low=0),
            arena=fields.boolean("arena"),
            graph_cache=fields.boolean("graph_cache"),
        )
        fields.refuse_rest()
        return options

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "providers": list(self.providers),
            "intra_op_threads": self.intra_op_threads,
            "arena": self.arena,
            "graph_cache": self.graph_cache,
        }

    def usable(self, available: tuple[str, ...]) -> tuple[str, ...]:
        """What is wanted and there, in the wanted order; the processor last, whatever was wanted.

        >>> RuntimeOptions(providers=("CUDAExecutionProvider",)).usable(("CPUExecutionProvider",))
        ('CPUExecutionProvider',)
        """
        there = tuple(name for name in self.providers if name in available and name != CPU)
        return (*there, CPU)

    @property
    def shapes_graph(self) -> Mapping[str, JsonValue]:
        """Of these, what an optimised graph depends on."""
        return {"providers": list(self.providers)}

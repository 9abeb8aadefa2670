"""The table `[serving]` of agent.toml: runtimes and memory (agent 5.3, 5.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from limosa_agent.serving.runtime_options import CPU, PROVIDERS_MAX, RuntimeOptions
from limosa_contracts.fields import Fields

THREADS_MAX = 1024
ACCELERATORS_MAX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingConfig:
    providers: tuple[str, ...] = (CPU,)  # execution providers of onnxruntime, the preferred one first
    accelerators: tuple[str, ...] = ()  # what this device has beside its processor, as variants ask for it
    threads: int = 0  # slow models run in so many threads at once; 0: one per core
    intra_op_threads: int = 1  # threads inside one run
    arena: bool = True  # the runtime keeps freed memory for the next run: faster, and larger
    graph_cache: bool = True  # optimised graphs are kept beside the slots: a quicker start
    standby_reserve_bytes: int = 64 * 1024**2  # left beside both generations, or the previous one ends
    shadow_memory_bytes: int = 1024**3  # private memory of the shadow worker

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField."""
        base = cls()

        def count(name: str, default: int, *, low: int = 0, high: int = THREADS_MAX) -> int:
            return fields.optional(name, lambda n: fields.integer(n, low=low, high=high), default)

        config = cls(
            providers=fields.optional(
                "providers", lambda n: fields.texts(n, max_items=PROVIDERS_MAX), base.providers
            ),
            accelerators=fields.optional(
                "accelerators", lambda n: fields.texts(n, max_items=ACCELERATORS_MAX), base.accelerators
            ),
            threads=count("threads", base.threads),
            intra_op_threads=count("intra_op_threads", base.intra_op_threads, low=1),
            arena=fields.optional("arena", fields.boolean, base.arena),
            graph_cache=fields.optional("graph_cache", fields.boolean, base.graph_cache),
            standby_reserve_bytes=count("standby_reserve_bytes", base.standby_reserve_bytes, high=2**50),
            shadow_memory_bytes=count("shadow_memory_bytes", base.shadow_memory_bytes, low=2**20, high=2**50),
        )
        fields.refuse_rest()
        return config

    @property
    def options(self) -> RuntimeOptions:
        return RuntimeOptions(
            providers=self.providers,
            intra_op_threads=self.intra_op_threads,
            arena=self.arena,
            graph_cache=self.graph_cache,
        )

"""What one digest did, in the worker and in applications together (agent 4.2). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from limosa_agent.health.facts import Observed


@dataclass(slots=True, kw_only=True)
class Tally:
    """Of one generation of the worker: where it starts again, so do the applications' counts.

    Memory is the worker's alone: what an application takes beside its model is nobody's fault here.
    """

    worker: Observed
    applications: Observed
    generation: int = -1  # -1: no worker has served it yet

    @classmethod
    def begin(cls, manifest_sha256: str) -> Tally:
        nothing = Observed(manifest_sha256=manifest_sha256)
        return cls(worker=nothing, applications=nothing)

    @property
    def total(self) -> Observed:
        return together(self.worker, self.applications)

    def from_worker(self, seen: Observed, *, generation: int) -> None:
        """`seen` is cumulative."""
        self.serve(generation)
        self.worker = seen

    def from_application(self, fresh: Observed) -> None:
        """`fresh` came since the same instance was heard before."""
        self.applications = together(self.applications, fresh)

    def serve(self, generation: int) -> None:
        """The worker that serves it now; what applications did before its first one counts with it."""
        if generation > self.generation:
            if self.generation >= 0:
                nothing = Observed(manifest_sha256=self.worker.manifest_sha256)
                self.worker = self.applications = nothing
            self.generation = generation


def together(a: Observed, b: Observed) -> Observed:
    """Both counts added up; memory of `a`."""
    return replace(
        a,
        n=a.n + b.n,
        errors=a.errors + b.errors,
        refused=a.refused + b.refused,
        nan_outputs=a.nan_outputs + b.nan_outputs,
        latency=_added(a.latency, b.latency),
        classes=_added(a.classes, b.classes),
    )


def _added(a: Sequence[int], b: Sequence[int]) -> Sequence[int]:
    """One of them may be empty: nothing was seen there."""
    if not a or not b:
        return a or b
    return tuple(x + y for x, y in zip(a, b, strict=True))

"""The table `[inference]` of agent.toml: what the endpoint takes from applications (agent 5.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

from limosa_agent.serving.limits import ServingLimits
from limosa_contracts.fields import Fields

BODY_MAX_BYTES: Final = 2**30
COUNT_MAX: Final = 2**20
_USUAL: Final = ServingLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceConfig:
    body_max_bytes: int = _USUAL.body_max_bytes  # one request; above: 413
    rows_max: int = _USUAL.rows_max  # rows of one request along its batch axis; above: 400
    queue_max: int = _USUAL.queue_max  # requests that wait for a thread; above: 429
    connections_max: int = _USUAL.connections_max  # above: 503 and closed
    feedback_predictions: int = _USUAL.feedback_predictions  # remembered per model, if they had an id

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField."""
        base = cls()

        def count(name: str, default: int, *, low: int = 1, high: int = COUNT_MAX) -> int:
            return fields.optional(name, lambda n: fields.integer(n, low=low, high=high), default)

        config = cls(
            body_max_bytes=count("body_max_bytes", base.body_max_bytes, low=1024, high=BODY_MAX_BYTES),
            rows_max=count("rows_max", base.rows_max),
            queue_max=count("queue_max", base.queue_max, low=0),
            connections_max=count("connections_max", base.connections_max),
            feedback_predictions=count("feedback_predictions", base.feedback_predictions, low=0),
        )
        fields.refuse_rest()
        return config

    def over(self, limits: ServingLimits) -> ServingLimits:
        """`limits` with these in their places; at least four of the largest bodies may be held at once."""
        return replace(
            limits,
            body_max_bytes=self.body_max_bytes,
            held_max_bytes=max(limits.held_max_bytes, 4 * self.body_max_bytes),
            rows_max=self.rows_max,
            queue_max=self.queue_max,
            connections_max=self.connections_max,
            feedback_predictions=self.feedback_predictions,
        )

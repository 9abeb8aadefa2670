"""`[inference]` of agent.toml: limits that an operator may move, and which of them stay in proportion."""

from __future__ import annotations

import pytest

from limosa_agent.serving.inference_config import BODY_MAX_BYTES, InferenceConfig
from limosa_agent.serving.limits import ServingLimits
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue


def config(**values: JsonValue) -> InferenceConfig:
    return InferenceConfig.parse(Fields(values, where="inference"))


def test_nothing_said_leaves_the_limits_as_they_are() -> None:
    assert config().over(ServingLimits(threads=3)) == ServingLimits(threads=3)


def test_larger_bodies_may_also_wait_together() -> None:
    limits = config(body_max_bytes=64 * 2**20, queue_max=0).over(ServingLimits())
    assert (limits.body_max_bytes, limits.held_max_bytes, limits.queue_max) == (64 * 2**20, 256 * 2**20, 0)


WRONG: list[dict[str, JsonValue]] = [
    {"body_max_bytes": 0},
    {"body_max_bytes": BODY_MAX_BYTES + 1},
    {"rows_max": 0},
    {"rows_max": True},
    {"queue": 3},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_makes_no_sense_is_refused(wrong: dict[str, JsonValue]) -> None:
    with pytest.raises(InvalidField):
        config(**wrong)

"""Golden vectors of models that take or give texts, or outputs of very different size."""

from __future__ import annotations

from typing import Any

import numpy as np

from limosa_agent.serving.golden import GoldenCase, difference
from limosa_contracts.canonical import encode_canonical
from limosa_contracts.fields import Fields
from limosa_contracts.serving import Golden

Array = np.ndarray[Any, Any]


def case(**outputs: Array) -> GoldenCase:
    return GoldenCase({}, outputs)


def test_texts_are_equal_or_the_vectors_do_not_hold() -> None:
    golden = Golden(cases=1, absolute=1.0, relative=0.0)
    expected = case(label=np.array(["hot"], dtype=object))
    assert difference({"label": np.array(["hot"], dtype=object)}, expected, golden) == (0.0, True)
    assert difference({"label": np.array(["cold"], dtype=object)}, expected, golden) == (float("inf"), False)


def test_small_output_is_not_held_to_the_size_of_a_large_one() -> None:
    golden = Golden(cases=1, absolute=1.0, relative=0.0, outputs={"score": 0.01})
    expected = case(score=np.array([0.5]), state=np.array([30.0]))
    near, far = np.array([0.505]), np.array([0.6])
    assert difference({"score": near, "state": np.array([30.9])}, expected, golden)[1]
    assert not difference({"score": far, "state": np.array([30.0])}, expected, golden)[1]


def test_tolerances_by_output_are_written_only_where_there_are_any() -> None:
    plain = Golden(cases=1, absolute=1.0, relative=0.0)
    assert "outputs" not in plain.as_json()
    own = Golden(cases=1, absolute=1.0, relative=0.0, outputs={"score": 0.01})
    assert Golden.parse(Fields(own.as_json(), where="golden")) == own
    assert encode_canonical(own.as_json())

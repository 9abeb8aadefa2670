"""Student's t, held to SciPy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from limosa_server.core.judging.student import quantile, tail


@given(st.floats(-50, 50), st.floats(0.5, 1e6))
def test_tail_is_scipys(value: float, freedom: float) -> None:
    assert tail(value, freedom) == pytest.approx(float(stats.t.sf(value, freedom)), rel=1e-7, abs=1e-12)


@given(st.floats(0.0005, 0.9995), st.floats(1, 1e6))
def test_quantile_is_scipys_and_undoes_the_tail(probability: float, freedom: float) -> None:
    found = quantile(probability, freedom)
    assert found == pytest.approx(float(stats.t.ppf(probability, freedom)), rel=1e-6, abs=1e-9)
    assert tail(found, freedom) == pytest.approx(1 - probability, rel=1e-6, abs=1e-9)

"""What a variant may cost, as it is signed with a release (compiler 2.9, agent 4.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical

from limosa_contracts.errors import InvalidField
from limosa_contracts.promise import VARIANTS_MAX, VariantPromise
from limosa_contracts.release import ReleaseCustom

PROMISES = st.builds(
    VariantPromise,
    latency_us=st.integers(0, 2**50),
    memory_bytes=st.integers(0, 2**50),
    max_latency_us=st.integers(0, 2**50),
    max_memory_bytes=st.integers(0, 2**50),
)


@given(st.dictionaries(st.sampled_from(["rpi4", "rpi5", "generic-x86-64"]), PROMISES))
def test_round_trip(promises: dict[str, VariantPromise]) -> None:
    custom = ReleaseCustom(release_counter=7, promises=promises)
    assert ReleaseCustom.parse(custom.as_json()) == custom


def test_a_release_without_promises_says_what_it_always_said() -> None:
    assert ReleaseCustom(release_counter=7).as_json() == {
        "schema": "limosa.release/1",
        "release_counter": 7,
        "may_return_to": [],
        "min_agent": "0.1.0",
    }


def test_only_what_is_promised_is_written() -> None:
    assert VariantPromise(memory_bytes=5).as_json() == {"memory_bytes": 5}


@pytest.mark.parametrize(
    "value", [{"latency_us": -1}, {"memory_bytes": 1.5}, {"max_latency_us": 1.0}, [], {"memory_bytes": 2**60}]
)
def test_numbers_that_promise_nothing_sensible_are_refused(value: object) -> None:
    with pytest.raises(InvalidField):
        VariantPromise.parse(value, where="x")  # type: ignore[arg-type]  # what JSON may hold


def test_more_variants_than_a_release_may_have_are_refused() -> None:
    many = {f"v{i}": VariantPromise(memory_bytes=1) for i in range(VARIANTS_MAX + 1)}
    with pytest.raises(InvalidField):
        ReleaseCustom.parse(ReleaseCustom(release_counter=7, promises=many).as_json())


def test_it_is_what_tuf_can_sign() -> None:
    custom = ReleaseCustom(release_counter=7, promises={"rpi4": VariantPromise(latency_us=4000)}).as_json()
    assert encode_canonical(custom) == (
        '{"may_return_to":[],"min_agent":"0.1.0","promises":{"rpi4":{"latency_us":4000}},'
        '"release_counter":7,"schema":"limosa.release/1"}'
    )

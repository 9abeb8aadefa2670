"""The API does what its OpenAPI document says: no 5xx, no undocumented status (server 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import status_code_conformance

from tests.fleet_server.world import Fleet

AnyCase: TypeAlias = Case[Any]


def cases(fleet: Fleet, mode: GenerationMode) -> st.SearchStrategy[AnyCase]:
    """A request of any operation of the document: as it says, or deliberately not."""
    document = fleet.http.get("/api/v1/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    found: Sequence[st.SearchStrategy[AnyCase]] = [
        result.ok().as_strategy(generation_mode=mode)
        for result in schema.get_all_operations()
        if isinstance(result, Ok)
    ]
    assert len(found) > 30
    return st.one_of(found)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_is_answered_with_a_server_error_or_an_undocumented_status(
    fleet: Fleet, mode: GenerationMode
) -> None:
    base_url = str(fleet.http.base_url).rstrip("/")
    headers = fleet.headers()

    @settings(
        max_examples=120, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=cases(fleet, mode))
    def check(case: AnyCase) -> None:
        case.call_and_validate(
            base_url, headers=headers, checks=[not_a_server_error, status_code_conformance], timeout=30
        )

    check()

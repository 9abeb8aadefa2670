"""The API does what its OpenAPI document says: no 5xx, no undocumented status (server 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import status_code_conformance

from limosa_server.access.roles import Role
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


READS: Final = {("POST", "/api/v1/rollouts/plan"), ("POST", "/api/v1/device/token")}
"""What a viewer may send with another method than GET: it writes nothing."""
WHO: Final = ("admin", "operator", "approver", "publisher", "viewer", "bound operator", "device", "nobody")


def headers_of(fleet: Fleet, who: str) -> dict[str, str]:
    if who == "nobody":
        return {}
    if who == "device":
        return fleet.access(fleet.enroll())
    if who == "bound operator":
        return {"Authorization": f"Bearer {fleet.token(Role.OPERATOR, team='audio')}"}
    return fleet.headers(Role(who))


def call(fleet: Fleet, who: str, mode: GenerationMode, *, examples: int) -> None:
    base_url = str(fleet.http.base_url).rstrip("/")
    headers = headers_of(fleet, who)

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=cases(fleet, mode))
    def check(case: AnyCase) -> None:
        answer = case.call_and_validate(
            base_url, headers=headers, checks=[not_a_server_error, status_code_conformance], timeout=30
        )
        if who in ("viewer", "nobody") and case.method.upper() not in ("GET", "HEAD", "OPTIONS"):
            wrote = answer.status_code < 300 and (case.method.upper(), case.path) not in READS
            assert not wrote, f"{who} may not {case.method} {case.path}"

    check()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_is_answered_with_a_server_error_or_an_undocumented_status(
    fleet: Fleet, mode: GenerationMode
) -> None:
    call(fleet, "admin", mode, examples=120)


@pytest.mark.parametrize("who", WHO[1:])
def test_nobody_gets_a_server_error_or_writes_what_is_not_theirs(fleet: Fleet, who: str) -> None:
    call(fleet, who, GenerationMode.POSITIVE, examples=25)


@pytest.mark.soak
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("who", WHO)
def test_each_role_sends_a_thousand_requests(fleet: Fleet, who: str, mode: GenerationMode) -> None:
    call(fleet, who, mode, examples=1000)

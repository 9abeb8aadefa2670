"""Whatever comes in, the answer is a coded problem and never a 5xx (server 6)."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fleet_server.world import Fleet

BAD_BODIES: dict[str, bytes] = {
    "empty": b"",
    "cut": b'{"name":',
    "list": b"[]",
    "twice": b'{"name":"a","name":"b"}',
    "nan": b'{"name":NaN}',
    "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "not utf-8": b'{"name":"\xff"}',
    "surrogate": b'{"name":"\\ud800"}',
    "script": b'{"name":"<script>alert(1)</script>","role":"viewer"}',
    "number": b'{"name":"a","role":"viewer","expires_in_s":1e400}',
    "huge number": b'{"name":"a","role":"viewer","expires_in_s":' + b"9" * 5000 + b"}",
    "nul": b'{"name":"a\\u0000b","role":"viewer"}',
}
POSTS = [
    ("POST", "/api/v1/enroll"),
    ("POST", "/api/v1/enrollment-tokens"),
    ("POST", "/api/v1/tokens"),
    ("POST", "/api/v1/groups"),
    ("POST", "/api/v1/rollouts"),
    ("POST", "/api/v1/device/token"),
    ("POST", "/api/v1/device/reports"),
    ("POST", "/api/v1/device/renew"),
    ("PUT", "/api/v1/devices/dev-1/labels"),
    ("PUT", "/api/v1/teams/demo/metadata"),
]


def is_problem(answer: httpx.Response) -> None:
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"].startswith("LM-")
    assert answer.json()["status"] == answer.status_code


@pytest.mark.parametrize("method, path", POSTS)
def test_malformed_bodies_are_the_callers_mistake(fleet: Fleet, method: str, path: str) -> None:
    headers = fleet.access(fleet.enroll()) if "/device/" in path else fleet.headers()
    for body in BAD_BODIES.values():
        is_problem(fleet.http.request(method, path, content=body, headers=headers))


def test_a_body_over_the_limit_is_refused(fleet: Fleet) -> None:
    answer = fleet.http.post("/api/v1/enroll", content=b" " * (1024 * 1024 + 1))
    is_problem(answer)
    assert (answer.status_code, answer.json()["code"]) == (413, "LM-412")


@pytest.mark.parametrize(
    "path, status",
    [
        ("/nothing", 404),
        ("/api/v1/devices/dev-0", 404),
        ("/api/v1/devices/<script>", 422),
        ("/api/v1/devices?limit=0", 422),
        ("/api/v1/devices?limit=x", 422),
        ("/api/v1/devices?cursor=%ff", 422),
        ("/api/v1/audit?cursor=eA", 422),
        ("/v2/demo/motion/blobs/sha256:00", 422),
        ("/v2/demo/motion/manifests/none", 404),
    ],
)
def test_paths_and_parameters_that_make_no_sense(fleet: Fleet, path: str, status: int) -> None:
    answer = fleet.http.get(path, headers=fleet.headers())
    is_problem(answer)
    assert answer.status_code == status


def test_a_method_that_is_not_there_says_which_are(fleet: Fleet) -> None:
    answer = fleet.http.request("DELETE", "/healthz")
    is_problem(answer)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=8,
    ),
    route=st.sampled_from(POSTS),
)
def test_no_json_whatever_is_a_server_error(fleet: Fleet, body: Any, route: tuple[str, str]) -> None:
    headers = fleet.headers()
    answer = fleet.http.request(route[0], route[1], content=json.dumps(body).encode(), headers=headers)
    assert answer.status_code < 500, answer.text

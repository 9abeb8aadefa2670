"""The plan as a page: without script, and what is started is what was shown."""

from __future__ import annotations

import re

import httpx
import pytest

from limosa_server.access.roles import Role
from tests.fleet_server.world import MODEL, Device, Fleet

FILE = f'release = "{MODEL}@2.0.0"\ngroup = "all"\n'


@pytest.fixture
def operator_page(fleet: Fleet, devices: list[Device]) -> httpx.Client:
    answer = fleet.http.post("/login", data={"token": fleet.token(Role.OPERATOR)})
    assert answer.status_code == 303, answer.text
    return fleet.http


def hidden(text: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert found is not None, name
    return found.group(1).replace("&#34;", '"')


def test_a_file_is_planned_and_exactly_that_is_started(operator_page: httpx.Client) -> None:
    first = operator_page.get("/rollouts/plan", params={"release": f"{MODEL}@2.0.0", "group": "all"})
    assert first.status_code == 200
    assert f"release = &#34;{MODEL}@2.0.0&#34;" in first.text
    proof = hidden(first.text, "proof")
    shown = operator_page.post("/rollouts/plan", data={"proof": proof, "file": FILE})
    assert shown.status_code == 200
    assert "nothing has started" in shown.text
    assert "3 devices are too few for a comparison of two arms" in shown.text
    fields = {name: hidden(shown.text, name) for name in ("proof", "file", "salt", "fingerprint")}
    started = operator_page.post("/rollouts/plan/start", data=fields)
    assert (started.status_code, started.headers["location"]) == (303, "/rollouts/1")
    again = operator_page.post("/rollouts/plan/start", data=fields)
    assert again.headers["location"] == "/rollouts/1", "pressed twice, started once"


def test_a_group_that_changed_since_the_plan_is_not_surprised(
    operator_page: httpx.Client, fleet: Fleet
) -> None:
    proof = hidden(operator_page.get("/rollouts/plan").text, "proof")
    shown = operator_page.post("/rollouts/plan", data={"proof": proof, "file": FILE}).text
    fields = {name: hidden(shown, name) for name in ("proof", "file", "salt", "fingerprint")}
    fleet.enroll(fleet.enroll_token(group="all"))
    refused = operator_page.post("/rollouts/plan/start", data=fields)
    assert refused.status_code == 409
    assert "LM-651" in refused.text


@pytest.mark.parametrize(
    "file, word",
    [
        ("release = ", "not TOML"),
        (FILE + "typo = 1\n", "typo"),
        (FILE.replace("2.0.0", "9.9.9"), "no release"),
    ],
)
def test_a_mistake_in_the_file_is_told_and_the_file_kept(
    operator_page: httpx.Client, file: str, word: str
) -> None:
    proof = hidden(operator_page.get("/rollouts/plan").text, "proof")
    shown = operator_page.post("/rollouts/plan", data={"proof": proof, "file": file})
    assert shown.status_code == 200
    assert word in shown.text
    assert "Start exactly this" not in shown.text
    assert "release = " in shown.text

"""Who is asked finds the buttons, and nobody else's press them (rollouts 2)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from limosa_server.access.roles import Role
from limosa_server.rollouts.controller import Controller
from tests.fleet_server.obedient import ROLLOUT
from tests.fleet_server.pages.conftest import Dashboard
from tests.fleet_server.world import Device, Fleet

PAGE = "/rollouts/1"


@pytest.fixture
def asked(
    fleet: Fleet, devices: list[Device], controller: Controller, operator: dict[str, str]
) -> Iterator[Dashboard]:
    """A rollout that waits for one person, made by an operator."""
    body = {**ROLLOUT, "approval": {"approvers": 1}}
    assert fleet.http.post("/api/v1/rollouts", json=body, headers=operator).status_code == 201
    controller.tick()
    with ExitStack() as opened:
        yield Dashboard(fleet, opened)


def press(visitor: httpx.Client, action: str, **fields: str) -> httpx.Response:
    text = visitor.get(PAGE).text
    hidden = {
        name: found.group(1)
        for name in ("proof", "etag")
        if (found := re.search(rf'name="{name}" value="([^"]*)"', text)) is not None
    }
    hidden = {name: value.replace("&#34;", '"') for name, value in hidden.items()}
    return visitor.post(f"{PAGE}/{action}", data={**hidden, **fields})


def test_an_approver_approves_and_the_page_says_who_did(asked: Dashboard, controller: Controller) -> None:
    approver = asked.visitor(Role.APPROVER)
    shown = approver.get(PAGE).text
    assert "Approve…" in shown
    assert "Pause…" not in shown
    answer = press(approver, "approve", remark="looked at the plan")
    assert answer.status_code == 200, answer.text
    assert re.search(r"approved by [^<]*: looked at the plan", answer.text)
    controller.tick()
    assert asked.fleet.state.store is controller.store
    assert "Pause…" in asked.visitor().get(PAGE).text


def test_an_operator_finds_no_such_button_and_is_refused_without_one(asked: Dashboard) -> None:
    operator = asked.visitor()
    shown = operator.get(PAGE).text
    assert "Approve…" not in shown
    assert "It waits for people with the role approver" in shown
    assert press(operator, "approve").status_code == 403
    assert press(operator, "deny").status_code == 403
    approver = asked.visitor(Role.APPROVER)
    assert press(approver, "cancel").status_code == 403


def test_a_denial_stands_on_the_page_with_its_words(asked: Dashboard, controller: Controller) -> None:
    press(asked.visitor(Role.APPROVER), "deny", remark="not on a Friday")
    controller.tick()
    shown = asked.visitor().get(PAGE).text
    assert "not on a Friday" in shown
    assert "Approve…" not in shown


def test_one_that_waits_for_a_day_says_so_on_its_page(asked: Dashboard) -> None:
    assert "waits for long" not in asked.visitor().get(PAGE).text
    asked.fleet.clock.now += 25 * 3600
    assert "waits for long" in asked.visitor().get(PAGE).text

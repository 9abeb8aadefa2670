"""A rollout that nobody looks at announces itself, as an alert too (rollouts 2, telemetry 6.3)."""

from __future__ import annotations

from typing import Any

from limosa_contracts.rollout.schedule import format_moment
from limosa_server.access.roles import Role
from limosa_server.alerts.evaluating import Evaluator
from limosa_server.rollouts.controller import Controller
from tests.fleet_server.obedient import ROLLOUT, start
from tests.fleet_server.world import Device, Fleet

DAY = 86400.0


def waiting(fleet: Fleet) -> list[str]:
    Evaluator(fleet.state).step()
    answer = fleet.http.get(
        "/api/v1/alerts", params={"state": "open"}, headers=fleet.headers(Role.VIEWER)
    ).json()
    return [str(one["summary"]) for one in answer["items"] if one["rule"] == "rollout-waiting"]


def post(fleet: Fleet, operator: dict[str, str], **more: Any) -> None:
    answer = fleet.http.post("/api/v1/rollouts", json={**ROLLOUT, **more}, headers=operator)
    assert answer.status_code == 201, answer.text


def test_a_wave_that_hangs_for_longer_than_all_of_its_clocks(
    fleet: Fleet, devices: list[Device], controller: Controller, operator: dict[str, str]
) -> None:
    start(fleet, operator, timeouts={"silence": "300d"})
    controller.tick()
    assert waiting(fleet) == []
    fleet.clock.now += 2 * DAY  # nobody ticks: the controller hangs, or this is the first look since
    operators_see = waiting(fleet)
    assert len(operators_see) == 1
    assert "wave canary of rollout 1 is IN_PROGRESS for 2d" in operators_see[0]


def test_a_schedule_in_a_month_is_no_news_until_it_was_missed(
    fleet: Fleet, devices: list[Device], controller: Controller, operator: dict[str, str]
) -> None:
    post(fleet, operator, schedule={"start": format_moment(fleet.clock.now + 30 * DAY)})
    controller.tick()
    fleet.clock.now += 29 * DAY
    assert waiting(fleet) == []
    fleet.clock.now += 2 * DAY
    assert "SCHEDULED" in waiting(fleet)[0]


def test_an_approval_that_nobody_gives(
    fleet: Fleet, devices: list[Device], controller: Controller, operator: dict[str, str]
) -> None:
    post(fleet, operator, approval={"approvers": 2})
    controller.tick()
    fleet.clock.now += 3 * DAY
    assert "WAITING_FOR_APPROVAL for 3d: 2 people must agree" in waiting(fleet)[0]

"""The pages about devices: found, asked, taken out of the fleet; without script."""

from __future__ import annotations

import csv
import io
import re

import httpx
import pytest
from sqlmodel import col, select

from limosa_server.access.roles import Role
from limosa_server.tables.commands import CommandRow
from limosa_server.tables.devices import Device
from tests.fleet_server.pages.conftest import Dashboard


@pytest.fixture
def visitor(dashboard: Dashboard) -> httpx.Client:
    return dashboard.visitor()


def names_in(html: str) -> list[str]:
    return re.findall(r'<a class="id" href="/devices/([^"]+)">', html)


def proof_in(html: str) -> str:
    found = re.search(r'name="proof" value="([^"]+)"', html)
    assert found is not None
    return found.group(1)


def one(dashboard: Dashboard, *, online: bool) -> str:
    with dashboard.fleet.state.store.read() as tx:
        rows = select(Device.id).where(Device.state == "active", col(Device.online).is_(online))
        return tx.exec(rows.order_by(col(Device.id))).all()[0]


def test_devices_are_found_by_labels_and_sorted_and_the_same_comes_as_csv(visitor: httpx.Client) -> None:
    html = visitor.get("/devices", params={"selector": "site in (hq),tier!=dev"}).text
    found = names_in(html)
    assert found
    assert html.count("site=<b>hq</b>") == len(found)
    link = re.search(r'href="(/devices\.csv[^"]*)"', html)
    assert link is not None
    rows = list(csv.DictReader(io.StringIO(visitor.get(link.group(1).replace("&amp;", "&")).text)))
    assert [row["device"] for row in rows] == found
    newest = names_in(visitor.get("/devices", params={"selector": "site=hq", "sort": "enrolled_at"}).text)
    assert sorted(newest) == sorted(names_in(visitor.get("/devices", params={"selector": "site=hq"}).text))


def test_labels_that_do_not_parse_select_nobody_and_say_where(visitor: httpx.Client) -> None:
    html = visitor.get("/devices", params={"selector": "site in (<b>"}).text
    assert "do not parse" in html
    assert "character 10" in html
    assert "site in (&lt;b&gt;" in html
    assert names_in(html) == []


def test_an_operator_asks_a_device_and_waits_for_the_answer_on_a_page(
    dashboard: Dashboard, visitor: httpx.Client
) -> None:
    name = one(dashboard, online=True)
    proof = proof_in(visitor.get(f"/devices/{name}").text)
    page = visitor.post(f"/devices/{name}/commands", data={"proof": proof, "kind": "logs"})
    assert page.status_code == 200
    assert "waits for its answer" in page.text
    assert page.headers["refresh"] == "2"
    command = page.url.path.rpartition("/")[2]
    with dashboard.fleet.state.store.transaction() as tx:
        row = tx.get_one(CommandRow, command)
        row.state, row.answered_at = "done", dashboard.fleet.clock.now
        row.answer = {"lines": [{"level": "error", "message": "<script>alert(1)</script>"}, "odd"]}
    answered = visitor.get(page.url.path)
    assert "refresh" not in answered.headers
    assert "&lt;script&gt;alert(1)" in answered.text
    assert "<script>alert" not in answered.text
    assert visitor.get(f"/json{page.url.path}").json()["state"] == "done"
    assert "answered" in visitor.get(f"/devices/{name}").text
    viewer = dashboard.visitor(Role.VIEWER)
    assert viewer.get(page.url.path).status_code == 403
    assert viewer.get(f"/json{page.url.path}").status_code == 403
    assert "Ask it now" not in viewer.get(f"/devices/{name}").text


def test_a_device_that_is_not_connected_is_not_asked_and_the_page_says_so(
    dashboard: Dashboard, visitor: httpx.Client
) -> None:
    name = one(dashboard, online=False)
    html = visitor.get(f"/devices/{name}").text
    assert "it would not hear" in html
    refused = visitor.post(f"/devices/{name}/commands", data={"proof": proof_in(html), "kind": "status"})
    assert refused.status_code == 409
    assert "LM-663" in refused.text


def test_a_device_is_only_taken_out_by_typing_its_name(dashboard: Dashboard, visitor: httpx.Client) -> None:
    name = one(dashboard, online=False)
    proof = proof_in(visitor.get(f"/devices/{name}").text)
    form = {"proof": proof, "reason": "water <damage>", "confirm": "another"}
    assert visitor.post(f"/devices/{name}/decommission", data=form).status_code == 422
    assert (
        visitor.post(
            f"/devices/{name}/decommission", data={**form, "confirm": name, "proof": "x"}
        ).status_code
        == 403
    )
    done = visitor.post(f"/devices/{name}/decommission", data={**form, "confirm": name})
    assert done.status_code == 200
    assert "decommissioned" in done.text
    assert "water &lt;damage&gt;" in done.text
    assert "Take it out of the fleet" not in done.text
    assert name not in names_in(visitor.get("/devices").text)
    assert names_in(visitor.get("/devices", params={"state": "decommissioned"}).text) == [name]
    assert visitor.post(f"/devices/{name}/explode", data={"proof": proof}).status_code == 404

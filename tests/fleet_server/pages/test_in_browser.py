"""The pages in a real Chromium: no complaint on its console, live news, keyboard, themes, widths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlmodel import select

from limosa_server.access.roles import Role
from limosa_server.tables.devices import DeviceLabel
from limosa_server.tables.reports import RefusedReport
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow, WaveRow
from tests.fleet_server.pages.conftest import Dashboard
from tests.support.browser import Browser, browser
from tests.support.seeded_fleet import add_device

RUNNING = "/rollouts/13"
ALL = (
    "/",
    "/rollouts",
    RUNNING,
    "/rollouts/12",
    "/rollouts/3",
    "/devices",
    "/devices/watch-0012",
    "/releases",
    "/releases/demo/motion/4.0.0",
    "/alerts",
)
LIVE = "document.getElementById('live-state').textContent.includes(' live')"


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Browser]:
    with browser(tmp_path) as running:
        yield running


def sign_in(chromium: Browser, dashboard: Dashboard, role: Role = Role.OPERATOR) -> None:
    """As a person does: the field has the focus already."""
    chromium.open(f"{dashboard.url}/login")
    chromium.wait("document.activeElement.id === 'token'")
    chromium.type_text(dashboard.fleet.token(role))
    chromium.press("Enter")
    chromium.wait("location.pathname === '/' && document.readyState === 'complete'")


def test_no_page_makes_the_browser_complain_in_any_theme_or_width(
    shown: Dashboard, chromium: Browser
) -> None:
    sign_in(chromium, shown)
    for theme, width in (("light", 1280), ("dark", 360)):
        chromium.window(width=width, theme=theme)
        for path in ALL:
            chromium.open(shown.url + path)
            chromium.wait(LIVE)
            wider = chromium.run("document.documentElement.scrollWidth - innerWidth")
            assert wider <= 0, f"{path} is {wider} px wider than {width}"
        chromium.open(f"{shown.url}/rollouts/plan")
        chromium.wait("document.getElementById('file') !== null")
        assert chromium.run("document.documentElement.scrollWidth - innerWidth") <= 0, "the rollout file"
    assert chromium.complaints == []


def test_long_and_hostile_words_neither_run_nor_burst_a_small_screen(
    dashboard: Dashboard, chromium: Browser
) -> None:
    word = "<script>document.title='owned'</script>" + "x" * 300
    with dashboard.fleet.state.store.transaction() as tx:
        row = tx.get_one(RolloutRow, 13)
        row.reason = row.target = row.created_by = word
        for wave in tx.exec(select(WaveRow).where(WaveRow.rollout == 13)):
            wave.reason = wave.name = word
        for run in tx.exec(select(ExecutionRow).where(ExecutionRow.rollout == 13)):
            run.reason = run.reason_code = word
        add_device(tx, word, now=dashboard.fleet.clock.now, serial=word, profile=word, agent=word)
        tx.add(DeviceLabel(device=word, key=word, value=word))
        tx.add(RefusedReport(device=word, code=word, count=1, last_at=dashboard.fleet.clock.now, sample=word))
    sign_in(chromium, dashboard)
    chromium.window(width=360)
    for path in ("/", "/rollouts", RUNNING, "/devices", f"/devices/{quote(word, safe='')}"):
        chromium.open(dashboard.url + path)
        chromium.wait(LIVE)
        assert chromium.run("document.documentElement.scrollWidth - innerWidth") <= 0, path
        assert "owned" not in chromium.run("document.title").replace(word, "")
    assert chromium.complaints == []


def test_policy_is_in_force(shown: Dashboard, chromium: Browser) -> None:
    """What the other test would not see if the browser ignored the policy."""
    sign_in(chromium, shown)
    chromium.run("document.body.insertAdjacentHTML('beforeend', '<p style=\"color:red\" id=bad>x</p>')")
    chromium.wait("getComputedStyle(document.getElementById('bad')).color !== 'rgb(255, 0, 0)'")
    assert any("Content Security Policy" in one for one in chromium.complaints)


def test_commit_changes_the_open_ladder_but_not_what_is_being_typed(
    dashboard: Dashboard, chromium: Browser
) -> None:
    sign_in(chromium, dashboard)
    chromium.open(dashboard.url + RUNNING)
    chromium.wait(LIVE)
    chromium.run("document.querySelector('#act-pause summary').click()")
    chromium.run("document.getElementById('remark-pause').focus()")
    chromium.type_text("looks odd")
    with dashboard.fleet.state.store.transaction() as tx:
        wave = tx.exec(select(WaveRow).where(WaveRow.rollout == 13, WaveRow.index == 1)).one()
        before, wave.counts = wave.counts, {"SUCCEEDED": 11, "ROLLED_BACK": 1}
        tx.announce("rollout 13")
    chromium.wait("document.getElementById('ladder').innerText.includes('11 done')", timeout_s=8)
    assert chromium.run("document.activeElement.id + ' ' + document.activeElement.value") == (
        "remark-pause looks odd"
    )
    chromium.press("Enter")
    chromium.wait("document.body.innerText.includes('paused by operator: looks odd')")
    with dashboard.fleet.state.store.read() as tx:
        assert tx.get_one(RolloutRow, 13).status == "PAUSED"
    with dashboard.fleet.state.store.transaction() as tx:  # its devices had not moved: as the rows are again
        tx.get_one(WaveRow, (13, 1)).counts = before
    assert chromium.complaints == []


def test_server_that_ends_is_said_on_the_open_page(shown: Dashboard, chromium: Browser) -> None:
    sign_in(chromium, shown)
    chromium.wait(LIVE)
    chromium.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0,
                  uploadThroughput=0)  # fmt: skip
    chromium.run("htmx.trigger('#driver', 'limosa:changed')")
    chromium.wait("document.getElementById('live-state').textContent.includes('no answer, as of')")
    assert "Needs attention" in chromium.text()


def test_keyboard_reaches_what_an_operator_needs(shown: Dashboard, chromium: Browser) -> None:
    sign_in(chromium, shown)
    chromium.open(shown.url + "/rollouts/12")
    seen = []
    for _ in range(14):
        chromium.press("Tab")
        seen.append(chromium.run("document.activeElement.innerText || document.activeElement.id"))
    assert seen[0] == "Skip to the content"
    for wanted in (
        "Overview",
        "Devices",
        "Sign out",
        "Resume…",
        "Cancel, let finish…",
        "Cancel now…",
        "Roll back…",
    ):
        assert wanted in seen, seen


def test_page_without_script_is_whole(shown: Dashboard, chromium: Browser) -> None:
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    chromium.open(f"{shown.url}/login")
    chromium.type_text(shown.fleet.token(Role.OPERATOR))
    chromium.press("Enter")
    chromium.wait("location.pathname === '/'")
    chromium.open(shown.url + RUNNING)
    text = chromium.text()
    assert "when 6 more devices are through" in text
    assert "Without script this page shows the state when it was opened" in text
    assert chromium.run("document.getElementById('live-state').hidden")
    assert chromium.complaints == []

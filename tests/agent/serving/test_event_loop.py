"""An agent without uvloop: a device that has not the megabytes for it (agent 5.4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from limosa_agent.serving.event_loop import new_event_loop
from tests.agent.serving.conftest import StartPool
from tests.agent.serving.releases import install, tiny_plan
from tests.agent.serving.test_switch import Load, version_that_answers
from tests.support.waiting import wait_until


@pytest.fixture
def without_uvloop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the workers: a finder before all others that knows no uvloop."""
    hides = tmp_path / "hides"
    hides.mkdir()
    (hides / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "found = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'uvloop' else found(name, package)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(hides))


@pytest.mark.usefixtures("without_uvloop")
def test_without_uvloop_a_switch_under_load_fails_no_request(start_pool: StartPool, slots: Path) -> None:
    one, two = (install(tiny_plan(version), slots) for version in ("1.0.0", "2.0.0"))
    pool = start_pool(one)
    for pid in pool.pool.worker_pids:
        assert "/uvloop/" not in Path(f"/proc/{pid}/maps").read_text()
    with_load = Load(pool.port)
    try:
        wait_until(lambda: with_load.has_more_than(20), what="requests are answered", timeout_s=20)
        pool.switch(two)
        assert version_that_answers(pool.port) == "2.0.0"
        wait_until(lambda: with_load.answered["2.0.0"], what="the load is answered by it", timeout_s=20)
    finally:
        with_load.stop()
    assert set(with_load.answered) == {"1.0.0", "2.0.0"}
    assert not with_load.failed


def test_where_it_is_installed_the_loop_is_uvloops() -> None:
    loop = new_event_loop()
    try:
        assert type(loop).__module__.startswith("uvloop")
    finally:
        loop.close()

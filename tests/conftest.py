"""What holds for every test: processes end, nothing is left running, a skip is loud."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.leftovers import mark_children, marked_processes
from tests.support.longest_first import place_of, workers_for
from tests.support.processes import Processes
from tests.support.programs import PTRACE, in_ci
from tests.support.waiting import wait_until

# A shared machine may pause a test at any moment: that a single example is slow says nothing.
settings.register_profile("limosa", deadline=None, print_blob=True)
settings.register_profile("long", deadline=None, print_blob=True, max_examples=1000)
settings.load_profile("limosa")

# A job in the background of a shell ignores interrupts, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Containers often forbid Python to keep what it compiled. The suite starts thousands of processes, and each
# would compile all of Limosa again: half of the processor time of a start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts real processes; all of them are ended with the test."""
    folder = tmp_path / "processes"
    folder.mkdir()
    running = Processes(folder)
    yield running
    running.end_all()


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """At the end of the session no process of it is alive, not even one whose parent has gone."""
    mark = mark_children()
    yield
    try:
        wait_until(lambda: not marked_processes(mark), timeout_s=5, what="every process has ended")
    except AssertionError:
        left = marked_processes(mark)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        pytest.fail("left running: " + "; ".join(f"{pid} {command}" for pid, command in left.items()))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: place_of(item.path, config.rootpath))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`; `make test` sets a limit beside."""
    return workers_for(len(os.sched_getaffinity(0)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where CI=true a skip is a failure; only a kernel that forbids ptrace is excepted."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and in_ci() and PTRACE not in reason_of(report):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI=true does not allow: {reason_of(report)}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says at the end, in red, what was not tested here and why."""
    skipped = [report for report in terminalreporter.getreports("skipped") if report.nodeid]
    if not skipped:
        return
    terminalreporter.section(f"NOT TESTED HERE ({len(skipped)})", sep="!", red=True, bold=True)
    for report in skipped:
        terminalreporter.write_line(f"{report.nodeid}: {reason_of(report)}", red=True)


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    where = report.longrepr
    return str(where[2]).removeprefix("Skipped: ") if isinstance(where, tuple) else str(where)

"""The tests' own tools: nothing survives a test, and no skip is silent."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.leftovers import MARK, marked_processes
from tests.support.longest_first import LONGEST, place_of, workers_for
from tests.support.ports import accepts, free_port
from tests.support.processes import Processes
from tests.support.waiting import wait_until

ROOT = Path(__file__).parent.parent
ORPHAN = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid)
"""


def test_orphan_whose_parent_is_gone_is_still_found_and_ended(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    started = processes.start([sys.executable, "-c", ORPHAN], name="parent", env={MARK: "of-this-test"})
    assert started.wait() == 0
    orphan = int(started.log())
    assert orphan in marked_processes("of-this-test")
    processes.end_all()
    wait_until(lambda: not marked_processes("of-this-test"), timeout_s=5, what="the orphan has ended")


def test_process_that_ends_too_early_fails_at_once_with_its_log(processes: Processes) -> None:
    started = processes.start(
        [sys.executable, "-c", "print('no licence'); raise SystemExit(3)"], name="short"
    )
    began = time.monotonic()
    with pytest.raises(AssertionError, match="no licence"):
        started.wait_for_log("ready", timeout_s=60)
    assert time.monotonic() - began < 30


def test_process_that_ignores_sigterm_is_killed_and_named(processes: Processes) -> None:
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready'); time.sleep(60)"
    started = processes.start([sys.executable, "-c", program], name="deaf")
    started.wait_for_log("ready")
    with pytest.raises(AssertionError, match="deaf did not end"):
        started.stop(timeout_s=0.2)
    assert not started.running


def test_what_does_not_happen_in_time_is_named() -> None:
    with pytest.raises(AssertionError, match="a device comes online"):
        wait_until(lambda: False, timeout_s=0.05, what="a device comes online")


def test_free_port_is_free() -> None:
    assert not accepts(free_port())


INNER = """
import pytest
from tests.support.programs import PTRACE, require_program

def test_needs_a_program_that_nobody_has():
    require_program("no-such-program")

def test_skips_for_its_own_reasons():
    pytest.skip("not today")

def test_kernel_forbids_tracing():
    pytest.skip(f"{PTRACE}not permitted")

@pytest.mark.xfail
def test_is_known_to_fail():
    assert False
"""


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", "2 failed, 1 skipped, 1 xfailed"), ("", "3 skipped, 1 xfailed")]
)
def test_skip_is_loud_on_a_laptop_and_a_failure_in_ci(ci: str, outcome: str, tmp_path: Path) -> None:
    (tmp_path / "test_inner.py").write_text(INNER)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "CI"))}
    env |= {"CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # those of the suite take most of its start
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-p", "no:cacheprovider",
            "-p", "pytest_timeout", "-p", "tests.conftest",
            "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), str(tmp_path / "test_inner.py"),
        ],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert outcome in done.stdout, done.stdout
    assert "NOT TESTED HERE" in done.stdout
    assert "test_kernel_forbids_tracing: ptrace: not permitted" in done.stdout


def test_what_is_started_first_is_there_and_starts_first() -> None:
    assert [name for name in LONGEST if not (ROOT / name).exists()] == []
    named = [place_of(ROOT / name / "test_any.py", ROOT) for name in LONGEST]
    assert named == sorted(named)
    assert place_of(ROOT / "tests/agent/test_clock.py", ROOT) > max(named)


@pytest.mark.parametrize(("cores", "workers"), [(1, 3), (2, 4), (4, 8)])
def test_tests_that_wait_leave_cores_to_others(cores: int, workers: int) -> None:
    assert workers_for(cores) == workers

"""Whatever the worker does, the compiler gets an answer or a reason, and nothing is left running."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from limosa_compiler.errors import ModelRefused, ToolchainFailed
from limosa_compiler.litert.process import Gone, Refused, Worker
from limosa_compiler.litert.runner import LitertRunner
from limosa_compiler.litert.toolchain import Toolchain
from tests.support.waiting import wait_until

BAD_ANSWERS = {
    "no JSON": "echo nonsense",
    "a list": "echo '[]'",
    "no size": """echo '{"ok": true}'""",
    "a size that is none": """echo '{"ok": true, "payload_bytes": "7"}'""",
    "a huge size": """echo '{"ok": true, "payload_bytes": 99999999999999}'""",
    "a payload that is none": """echo '{"ok": true, "payload_bytes": 4}'; printf abcd""",
    "an end in the middle": """echo '{"ok": true, "payload_bytes": 4}'; printf ab""",
    "nothing": "exit 3",
    "an endless line": "head -c 5000000 /dev/zero",
}


def pretender(folder: Path, text: str) -> Path:
    """Stands where the toolchain's Python stands."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\nread line\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("what", BAD_ANSWERS)
def test_answer_that_is_none_is_told_from_one(tmp_path: Path, what: str) -> None:
    with Worker(pretender(tmp_path, BAD_ANSWERS[what])) as worker, pytest.raises(Gone):
        worker.ask("load", timeout_s=20)


def test_worker_that_hangs_is_ended_with_everything_it_started(tmp_path: Path) -> None:
    note = tmp_path / "child"
    worker = Worker(pretender(tmp_path, f"sleep 600 & echo $! > {note}; wait"))
    with pytest.raises(Gone) as gone:
        worker.ask("load", timeout_s=1.5)
    assert "in time" in str(gone.value)
    child = int(note.read_text())
    wait_until(lambda: not _is_alive(child), timeout_s=10, what=lambda: f"the end of {child}")


def test_worker_that_is_killed_says_so_with_its_last_words(tmp_path: Path) -> None:
    with (
        Worker(pretender(tmp_path, "echo 'the last thing I saw' >&2; kill -SEGV $$")) as worker,
        pytest.raises(Gone) as gone,
    ):
        worker.ask("load", timeout_s=20)
    assert "SIGSEGV" in str(gone.value)
    assert "the last thing I saw" in str(gone.value)


def test_interpreter_that_does_not_start_is_a_broken_toolchain(tmp_path: Path) -> None:
    with pytest.raises(ToolchainFailed):
        Worker(tmp_path / "nothing")


def test_question_that_there_is_none_of_is_refused_and_the_worker_goes_on(toolchain: Toolchain) -> None:
    with Worker(toolchain.python) as worker:
        for _ in range(2):
            with pytest.raises(Refused):
                worker.ask("sing", timeout_s=60)


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\x1c\0\0\0TFL3" + bytes(64), os.urandom(4096)])
def test_file_that_is_no_model_is_refused(toolchain: Toolchain, data: bytes) -> None:
    with pytest.raises(ModelRefused):
        LitertRunner(toolchain, data or b"x", what="m.tflite")


def test_runner_that_nobody_needs_any_more_leaves_no_process(toolchain: Toolchain, fp32: bytes) -> None:
    runner = LitertRunner(toolchain, fp32)
    pid = runner._worker._process.pid  # the fact itself: which process
    assert _is_alive(pid)
    answer = runner.run({"x": np.zeros((1, 2, 6, 6), np.float32)})
    assert answer["y"].shape == (1, 4)
    del runner
    wait_until(lambda: not _is_alive(pid), timeout_s=10, what=lambda: f"the end of {pid}")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"

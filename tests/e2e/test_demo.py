"""The whole loop, as `limosa demo` shows it, by its machine-readable word."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import script
from tests.support.programs import require_program

pytestmark = pytest.mark.xdist_group("world")


def test_the_demo_observes_all_that_it_promises_and_leaves_nothing_behind(tmp_path: Path) -> None:
    require_program("mosquitto")
    done = subprocess.run(
        [script("limosa"), "demo", "--json"],
        capture_output=True,
        timeout=280,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["schema"] == "limosa.demo/1"
    assert result["devices"] == 6
    assert [(item["release"], item["status"]) for item in result["rollouts"]] == [
        ("demo/motion@1.0.0", "COMPLETED"),
        ("demo/motion@2.0.0", "COMPLETED"),
        ("demo/motion@3.0.0", "ROLLED_BACK"),
        ("demo/motion@3.0.1", "ROLLED_BACK"),
        ("demo/motion@4.0.0", "ROLLED_BACK"),
    ]
    assert result["running"] == {"demo/motion@2.0.0": 6}
    assert result["fallbacks"] >= 1
    assert result["rejected"] >= 1
    assert result["requests"] > 500
    assert result["failed_requests"] == 0
    assert result["offline_converged"] is True
    assert result["killed_recovered"] is True
    assert list(tmp_path.iterdir()) == []

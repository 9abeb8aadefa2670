"""The server's disk is full: it says so, loses nothing it acknowledged, and goes on when there is room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import require_program, unavailable

SIZE = "24m"
ROOT = Path(__file__).parents[3]
KINDS = ["sqlite", "postgresql"] if os.geteuid() == 0 else ["sqlite"]
"""PostgreSQL refuses to run as root, and in a namespace an ordinary user is root."""


def run_on_small_disk(folder: Path, kind: str) -> dict[str, Any]:
    """Whatever is mounted ends with the process."""
    unshare = [require_program("unshare"), "-m"] if os.geteuid() == 0 else [require_program("unshare"), "-rm"]
    mounted = f'mount -t tmpfs -o size={SIZE},mode=755 tmpfs "$1"'
    tried = subprocess.run(
        [*unshare, "sh", "-c", mounted, "sh", str(folder)], capture_output=True, check=False
    )
    if tried.returncode != 0:
        unavailable(f"no small filesystem can be mounted: {tried.stderr.decode()[:200]}")
    script = f'{mounted} && exec "$2" -m tests.fleet_server.store.full_disk "$1" "$3"'
    done = subprocess.run(
        [*unshare, "sh", "-c", script, "sh", str(folder), sys.executable, kind],
        capture_output=True, text=True, timeout=120, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_refuses_reports_clearly_and_room_lets_them_in_again(kind: str) -> None:
    with tempfile.TemporaryDirectory(prefix="limosa-full-") as text:
        Path(text).chmod(0o755)  # the database's user has to reach what is mounted there
        said = run_on_small_disk(Path(text), kind)
    assert said["accepted"] > 0
    assert said["refused"] == said["still"] == [503, "LM-625"]
    assert said["health"] == 200, "what only reads goes on"
    assert said["after"] == [200, ""]
    assert said["stored"] == said["accepted"] + 1, "what was acknowledged, and the one that came again"
    assert said["sound"]

"""What the agent takes from a device: `python benchmarks/agent_footprint.py [--json] [--quick]`.

1. disk: `limosa[agent]` in a fresh environment, over onnxruntime and numpy alone in another (agent 7)
2. time to import, of the supervisor, of the worker and of onnxruntime with numpy
3. memory (RSS) of a supervisor at rest, and of its worker over a process that has loaded the same model with
   onnxruntime and numpy alone (agent 1)
4. processor time of both at rest
5. bytes on the network at rest, both ways, counted by relays before the server and the broker; what
   comes once an hour is counted by itself, because the window is shorter

Needs a package index for the first part; --no-install leaves it out. --quick rests for a shorter time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

from benchmarks.bars import Bar, finish, print_table
from benchmarks.idle_device import Rest, rest

ROOT: Final = Path(__file__).parents[1]
MB: Final = 1e6
INSTALLED_MAX_MB: Final = 30.0  # over onnxruntime and numpy
SUPERVISOR_MAX_MB: Final = 40.0
WORKER_OVER_BARE_MAX_MB: Final = 15.0
IDLE_CPU_MAX_PERCENT: Final = 0.5
IMPORTS: Final = {
    "onnxruntime and numpy": "import numpy, onnxruntime",
    "supervisor": "import limosa_agent.process",
    "worker": "import limosa_agent.serving.worker",
    "in-process": "import limosa_agent",
}
IMPORT_ROUNDS: Final = 5
PACKAGES: Final = ("limosa", "numpy", "onnxruntime", "cryptography", "paho-mqtt", "tuf", "uvloop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    what: str
    value: float
    unit: str

    def as_row(self) -> dict[str, object]:
        return {"what": self.what, "value": round(self.value, 3), "unit": self.unit}


# -- 1. disk


def installed_bytes(folder: Path, *requirements: str) -> int:
    """Bytes in site-packages of a fresh environment with these, compiled files left out.

    Files are counted by their length, as pip writes them; a file system's blocks come on top.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "-qq"]
    subprocess.run(
        [*command, "install", "--no-compile", "-c", str(ROOT / "constraints.txt"), *requirements],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    (site,) = (folder / "lib").glob("python3*/site-packages")
    return sum(path.lstat().st_size for path in site.rglob("*") if path.is_file())


def disk(folder: Path) -> tuple[list[Row], list[Bar]]:
    wheel = folder / "wheel"
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-qq",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(wheel),
        str(ROOT),
    ]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    (made,) = wheel.glob("limosa-*.whl")
    bare = installed_bytes(folder / "bare", "onnxruntime", "numpy")
    ours = installed_bytes(folder / "ours", f"limosa[agent] @ {made.as_uri()}")
    rows = [
        Row(what="installed: onnxruntime and numpy", value=bare / MB, unit="MB"),
        Row(what="installed: limosa[agent]", value=ours / MB, unit="MB"),
    ]
    over = (ours - bare) / MB
    return rows, [
        Bar(name="installed over onnxruntime and numpy, MB", limit=INSTALLED_MAX_MB, value=round(over, 2))
    ]


# -- 2. imports


def imports() -> list[Row]:
    """Median of several fresh processes, an empty one taken off."""
    empty = _seconds("pass")
    return [
        Row(what=f"import: {what}", value=1000 * max(0.0, _seconds(code) - empty), unit="ms")
        for what, code in IMPORTS.items()
    ]


def _seconds(code: str) -> float:
    took = []
    for _ in range(IMPORT_ROUNDS):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-P", "-c", code], check=True)
        took.append(time.perf_counter() - begin)
    return median(took)


# -- 3 to 5. a device at rest


def at_rest(found: Rest) -> tuple[list[Row], list[Bar]]:
    over = (found.worker - found.bare) / MB
    rows = [
        Row(what=f"supervisor at rest over {found.link}, RSS", value=found.supervisor / MB, unit="MB"),
        Row(what="supervisor after its first update, RSS", value=found.updated / MB, unit="MB"),
        Row(what="worker with one model, RSS", value=found.worker / MB, unit="MB"),
        Row(what="the same model in bare onnxruntime, RSS", value=found.bare / MB, unit="MB"),
        Row(what=f"processor at rest, over {found.seconds:.0f} s", value=found.cpu_percent, unit="%"),
        Row(what="network at rest: MQTT", value=found.mqtt_bytes_per_day / 1e3, unit="kB/day"),
        Row(what="network at rest: one HTTPS exchange", value=found.https_exchange_bytes, unit="B"),
        Row(what="network at rest: all, MQTT up", value=found.bytes_per_day / 1e3, unit="kB/day"),
    ]
    bars = [
        Bar(
            name="supervisor at rest, RSS, MB", limit=SUPERVISOR_MAX_MB, value=round(found.supervisor / MB, 2)
        ),
        Bar(
            name="worker over bare onnxruntime, RSS, MB", limit=WORKER_OVER_BARE_MAX_MB, value=round(over, 2)
        ),
        Bar(name="processor at rest, %", limit=IDLE_CPU_MAX_PERCENT, value=round(found.cpu_percent, 3)),
    ]
    return rows, bars


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="rest for 40 s instead of 11 minutes")
    parser.add_argument("--no-install", action="store_true", help="leave out what needs a package index")
    chosen = parser.parse_args(words)
    rows: list[Row] = []
    bars: list[Bar] = []
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["PYTHONPYCACHEPREFIX"] = str(
            folder / "compiled"
        )  # compiled once, as where it is installed
        if not chosen.no_install:
            more, judged = disk(folder / "installed")
            rows, bars = rows + more, bars + judged
        rows += imports()
        more, judged = at_rest(rest(folder / "world", seconds=40.0 if chosen.quick else 660.0))
        rows, bars = rows + more, bars + judged
    table = [row.as_row() for row in rows]
    print_table(table)
    return finish(table, bars, as_json=chosen.json, packages=PACKAGES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""One build with default settings, in a process of its own.

    python -m benchmarks.quality.ours FOLDER [EVIDENCE]

FOLDER holds a case and `build.json` (name, model, target); EVIDENCE is replayed. Leaves `built/` with
the artifact, its evidence and `model.onnx` out of it, and writes to `result.json` what happened.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.quality.case_folder import CALIBRATION, EVALUATION, read_notes

ROOT: Final = Path(__file__).resolve().parents[2]
TIMEOUT_S: Final = 1800.0
REQUEST, RESULT, BUILT = "build.json", "result.json", "built"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """`model` is what a device would get; None where the build was refused or failed, with `error`."""

    model: Path | None
    candidate: str
    seconds: float
    passes: Sequence[tuple[str, float]]
    candidates: Sequence[Mapping[str, Any]]
    index_digest: str = ""
    refused: bool = False  # the gate: failed closed
    error: str = ""


def host_target() -> str:
    """The generic profile that describes this machine."""
    if platform.machine() in ("aarch64", "arm64"):
        return "generic-aarch64"
    facts = Path("/proc/cpuinfo")
    words = facts.read_text().split() if facts.exists() else []
    return "generic-x86-64-vnni" if {"avx512_vnni", "avx_vnni"} & set(words) else "generic-x86-64"


def command_for(name: str, model: Path, folder: Path) -> list[str]:
    """What starts the build of the case in `folder`."""
    request = {"name": name, "model": str(model), "target": host_target()}
    (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")
    return [sys.executable, "-m", "benchmarks.quality.ours", str(folder)]


def environment() -> dict[str, str]:
    parts = [str(ROOT), *(str(ROOT / part) for part in ("contracts", "compiler", "devices"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*parts, os.environ.get("PYTHONPATH", "")])}


def built(name: str, model: Path, folder: Path) -> Built:
    """Builds in a child; whatever happens to it is in the result."""
    command = command_for(name, model, folder)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environment()
        )
    except subprocess.TimeoutExpired:
        return _failed(f"no end after {TIMEOUT_S:.0f} s")
    if not (folder / RESULT).exists():
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [""]
        return _failed(f"exit {done.returncode}: {lines[-1][:300]}")
    return read_result(folder)


def read_result(folder: Path) -> Built:
    said = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    model = folder / BUILT / "model.onnx"
    return Built(model=model if model.exists() else None, **said)


def _failed(error: str) -> Built:
    return Built(model=None, candidate="", seconds=0.0, passes=(), candidates=(), error=error)


def main(words: Sequence[str]) -> int:
    from limosa_compiler import build
    from limosa_compiler.artifact.archive_file import read_archive
    from limosa_compiler.errors import GateNotMet
    from limosa_compiler.evidence.evidence import Evidence
    from limosa_compiler.passes import PassReport
    from limosa_contracts.errors import LimosaError

    folder = Path(words[0])
    request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    passes: list[tuple[str, float]] = []

    def on_pass(report: PassReport) -> None:
        passes.append((report.name, round(report.seconds, 3)))
        sys.stderr.write(f"{report.seconds:8.2f} s  {report.name}: {report.note}\n")

    replay = Evidence.parse(Path(words[1]).read_bytes()) if len(words) > 1 else None
    begin = time.perf_counter()
    result: dict[str, object] = {"candidate": "", "candidates": [], "refused": False, "error": ""}
    try:
        done = build(_recipe(request, folder), folder=folder / BUILT, on_pass=on_pass, replay=replay)
    except GateNotMet as refused:
        result |= {"refused": True, "error": f"{refused.code}: {refused}"[:600]}
    except LimosaError as error:
        result |= {"error": f"{error.code}: {error}"[:600]}
    else:
        archive = read_archive(done.path)
        model = archive.files(archive.variants[0])["model.onnx"]
        (folder / BUILT / "model.onnx").write_bytes(model)
        result["candidate"] = done.evidence.choices[0].chosen
        result["index_digest"] = done.index_digest
        result["candidates"] = done.evidence.as_json()["candidates"]
    result |= {"seconds": round(time.perf_counter() - begin, 2), "passes": passes}
    (folder / RESULT).write_text(json.dumps(result), encoding="utf-8")
    return 0


def _recipe(request: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Default settings: nothing but what the model and its data need."""
    notes = read_notes(folder)
    recipe: dict[str, Any] = {
        "name": f"benchmark/{request['name'].replace('_', '-')}",
        "version": "1.0.0",
        "model": request["model"],
        "targets": [request["target"]],
        "data": {"calibration": str(folder / CALIBRATION), "evaluation": str(folder / EVALUATION)},
        "metric": notes["metric"],
    }
    return recipe | ({"inputs": notes["inputs"]} if notes["inputs"] else {})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The same bytes everywhere: `python benchmarks/reproducibility.py [--only NAME …] [--quick] [--json]`.

Builds each model under every Python 3.11 to 3.13 that is found (PATH, and pyenv's versions), with two
hash seeds and two thread counts (OMP_NUM_THREADS, and one processor against all), and compares the
digests of the images (compiler 6.2). What was measured may differ between runs and so may the choice;
so the first build's evidence is replayed by all others. A Python that is missing is a row that says so.
Each found Python gets an environment of its own in a temporary folder (`pip install`, about a minute).
`--quick`: this Python only, the small models.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

from benchmarks.bars import Bar, finish, print_table
from benchmarks.quality.case_folder import write_case
from benchmarks.quality.ours import ROOT, command_for, read_result
from benchmarks.real_data import case_names, case_of
from benchmarks.real_models import model_path

VERSIONS: Final = ("3.11", "3.12", "3.13")
MODELS: Final = ("motion", "mnist", "vowels", "magika")
TIMEOUT_S: Final = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to run a build."""

    python: str  # "3.12"
    program: str  # its path; "" where that Python is missing
    hash_seed: int
    threads: int  # OMP_NUM_THREADS; 1 also binds the process to one processor

    def environment(self) -> dict[str, str]:
        """The benchmarks come from this checkout, the compiler from what is installed: one of it, not two."""
        said = {"PYTHONHASHSEED": str(self.hash_seed), "OMP_NUM_THREADS": str(self.threads)}
        return {**os.environ, "PYTHONPATH": str(ROOT), **said}

    def command(self, command: Sequence[str]) -> list[str]:
        bound = ["taskset", "-c", str(min(os.sched_getaffinity(0)))] if self.threads == 1 else []
        return [*bound, self.program, *command[1:]]


def found_pythons() -> dict[str, str]:
    """Version -> program, of those that start; PATH first, then pyenv's folder."""
    found: dict[str, str] = {}
    for version in VERSIONS:
        for program in _candidates(version):
            tried = subprocess.run(
                [program, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"],
                capture_output=True,
                text=True,
                check=False,
            )
            if tried.returncode == 0 and tried.stdout.strip() == version:
                found[version] = program
                break
    return found


def _candidates(version: str) -> Iterator[str]:
    if path := shutil.which(f"python{version}"):
        yield path
    pyenv = os.environ.get("PYENV_ROOT", "") or str(Path.home() / ".pyenv")
    for folder in sorted(Path(pyenv).glob(f"versions/{version}*"), reverse=True):
        program = folder / "bin" / f"python{version}"
        if program.exists():
            yield str(program)
    if sys.version_info[:2] == tuple(int(part) for part in version.split(".")):
        yield sys.executable


def with_compiler(program: str, folder: Path) -> str:
    """The program of a new environment that has the compiler's dependencies. Raises CalledProcessError."""
    subprocess.run([program, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=TIMEOUT_S)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "-c", str(ROOT / "constraints.txt"), f"{ROOT}[compiler]"],
        check=True,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    return str(python)


def ways(programs: Mapping[str, str]) -> list[Way]:
    """Every Python with every seed and thread count."""
    return [
        Way(python=version, program=program, hash_seed=seed, threads=threads)
        for version, program in programs.items()
        for seed in (0, 4242)
        for threads in (1, 4)
    ]


def digest_of(name: str, way: Way, folder: Path, *, replay: Path | None) -> tuple[str, Path | None]:
    """(index digest or what went wrong, the evidence that a later build replays)."""
    command = command_for(name, model_path(name), folder)
    if replay is not None:
        command += [str(replay)]
    done = subprocess.run(
        way.command(command),
        env=way.environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [""]
        return f"exit {done.returncode}: {lines[-1][:120]}", None
    result = read_result(folder)
    evidence = next((folder / "built").glob("*.evidence.json"), None)
    return result.index_digest or result.error[:160], evidence


def compared(name: str, chosen: Sequence[Way], scratch: Path) -> list[dict[str, object]]:
    """A row per way; the first build's evidence is replayed by the others."""
    case, replay = case_of(name), None
    rows: list[dict[str, object]] = []
    for at, way in enumerate(chosen):
        folder = scratch / f"{name}-{at}"
        write_case(case, folder)
        digest, evidence = digest_of(name, way, folder, replay=replay)
        replay = replay or evidence
        rows.append(
            {
                "model": name,
                "python": way.python,
                "hash seed": way.hash_seed,
                "threads": way.threads,
                "digest": digest,
            }
        )
    return rows


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one object as the last line of stdout")
    parser.add_argument("--quick", action="store_true", help="this Python, motion only")
    parser.add_argument("--only", nargs="+", choices=case_names(), default=MODELS, metavar="NAME")
    arguments = parser.parse_args(words)
    rows: list[dict[str, object]] = []
    bars: list[Bar] = []
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        this = "{}.{}".format(*sys.version_info[:2])
        found = {this: sys.executable} if arguments.quick else found_pythons()
        missing = [version for version in VERSIONS if version not in found and not arguments.quick]
        programs = (
            found
            if arguments.quick
            else {key: with_compiler(program, scratch / key) for key, program in found.items()}
        )
        for model in ("motion",) if arguments.quick else arguments.only:
            found_rows = compared(model, ways(programs), scratch)
            print_table(found_rows)
            rows += found_rows
            wrong = sum(not str(row["digest"]).startswith("sha256:") for row in found_rows)
            distinct = len({row["digest"] for row in found_rows})
            bars.append(Bar(name=f"{model}: builds that failed of {len(found_rows)}", limit=0, value=wrong))
            bars.append(Bar(name=f"{model}: distinct digests", limit=1, value=distinct))
    for version in missing:
        rows.append({"model": "-", "python": version, "digest": "not found, not compared"})
        sys.stderr.write(f"Python {version}: not found, not compared\n")
    return finish(rows, bars, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Finds a Python that is new enough; each is run, since a name on PATH may be a shim that fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from limosa_compiler.errors import NoPython
from limosa_compiler.litert.limits import LIMITS

NAMES: Final = ("python3.12", "python3.13", "python3.14", "python3")
"""In the order in which they are tried; the first three have been seen to work longest."""
_SAY_VERSION: Final = "import sys, venv, ensurepip; print(*sys.version_info[:3])"
_NUMBERED: Final = re.compile(r"python3\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    path: Path
    version: tuple[int, int, int]

    @property
    def text(self) -> str:
        return ".".join(str(part) for part in self.version)


def find_python(*, wanted: Path | None = None, environ: Mapping[str, str] = os.environ) -> Python:
    """The one that is `wanted`, else the first that runs and is new enough. Raises NoPython."""
    least = ".".join(str(part) for part in LIMITS.python_min)
    tried: list[str] = []
    for path in [wanted] if wanted else candidates(environ):
        python = probe(path)
        if isinstance(python, Python) and python.version >= LIMITS.python_min:
            return python
        tried.append(f"{path}: {python.text if isinstance(python, Python) else python}")
    raise NoPython(
        f"no Python {least} or newer was found" if wanted is None else f"this is no Python {least} or newer",
        where=str(wanted or "PATH"),
        why="; ".join(tried)[:1000] or "there is none at all",
        hint=f"install Python {least} or newer, or name one: limosa toolchain install litert --python PATH",
    )


def probe(path: Path) -> Python | str:
    """What the program says it is, or why it is no Python that can make an environment."""
    try:
        done = subprocess.run(
            [str(path), "-I", "-c", _SAY_VERSION],
            capture_output=True,
            text=True,
            timeout=LIMITS.probe_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        return error.strerror or "it does not start"
    except subprocess.TimeoutExpired:
        return f"it does not answer within {LIMITS.probe_s:g} s"
    words = done.stdout.split()
    if done.returncode != 0 or len(words) != 3 or not all(word.isdigit() for word in words):
        said = done.stderr.strip().splitlines()
        return said[-1][:200] if said else f"exit code {done.returncode}"
    major, minor, micro = (int(word) for word in words)
    return Python(path=path, version=(major, minor, micro))


def candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    """This process's own Python, those on PATH by name, those that pyenv and uv keep; each once."""
    seen: set[Path] = set()
    for path in (Path(sys.executable), *_on_path(environ), *_kept_elsewhere(environ)):
        if path not in seen and os.access(path, os.X_OK) and path.is_file():
            seen.add(path)
            yield path


def _on_path(environ: Mapping[str, str]) -> Iterator[Path]:
    folders = [Path(folder) for folder in environ.get("PATH", "").split(os.pathsep) if folder]
    for name in NAMES:
        for folder in folders:
            yield folder / name


def _kept_elsewhere(environ: Mapping[str, str]) -> list[Path]:
    """The lowest version first, as above."""
    home = Path(environ.get("HOME", "~")).expanduser()
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local/share")
    roots = [
        Path(environ.get("PYENV_ROOT") or home / ".pyenv") / "versions",
        Path(environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python"),
    ]
    found = [path for root in roots for path in root.glob("*/bin/python3.*")]
    numbered = [(int(match[1]), path) for path in found if (match := _NUMBERED.fullmatch(path.name))]
    return [path for _, path in sorted(numbered)]

"""`limosa toolchain`: an environment of exact pins, made whole or not at all (compiler 4).

It lies in `limosa/toolchains/litert-HASH` under XDG_DATA_HOME, HASH being that of the pins: other pins
are another environment, and two versions of limosa do not take each other's away.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

from limosa_compiler.errors import ToolchainFailed, ToolchainMissing
from limosa_compiler.litert.limits import LIMITS
from limosa_compiler.litert.process import SCRIPTS
from limosa_compiler.litert.pythons import Python, find_python
from limosa_contracts.canonical import encode_canonical

NAME: Final = "litert"
PINS: Final = SCRIPTS / "pins.txt"
_PART: Final = ".part-"
OnStep: TypeAlias = Callable[[str], None]
Check: TypeAlias = Callable[["Toolchain"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    @property
    def is_current(self) -> bool:
        """Whether it has the pins of this version of limosa."""
        return self.folder.name == folder_name()

    @property
    def size_bytes(self) -> int:
        return sum(path.lstat().st_size for path in self.folder.rglob("*") if not path.is_dir())


@cache
def pins(file: Path = PINS) -> Mapping[str, str]:
    """Package -> version, as installed."""
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return dict(line.split("==") for line in lines if line)


def folder_name(file: Path = PINS) -> str:
    text = "\n".join(f"{name}=={version}" for name, version in sorted(pins(file).items()))
    return f"{NAME}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def toolchain_annotations(runtime: str) -> dict[str, str]:
    """For the manifest of a variant: what its bytes were made with, beside limosa's own tools."""
    return {"dev.limosa.toolchain": encode_canonical(dict(pins())).decode()} if runtime == NAME else {}


def toolchains_folder(environ: Mapping[str, str] = os.environ) -> Path:
    data = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".local/share")
    return Path(data) / "limosa/toolchains"


def installed(root: Path | None = None) -> tuple[Toolchain, ...]:
    """By name; what an interrupted install left is not among them."""
    root = root or toolchains_folder()
    found = sorted(root.glob(f"{NAME}-*")) if root.is_dir() else []
    return tuple(Toolchain(folder=folder) for folder in found if _PART not in folder.name)


def require_toolchain(root: Path | None = None, *, where: str = "") -> Toolchain:
    """The one with this version's pins. Raises ToolchainMissing, ToolchainFailed."""
    for toolchain in installed(root):
        if toolchain.is_current:
            _refuse_others_writing(toolchain)
            return toolchain
    raise ToolchainMissing(
        "LiteRT's toolchain is not installed",
        where=where or str(root or toolchains_folder()),
        why="converting to .tflite and running it needs packages that do not go together with others",
    )


def _refuse_others_writing(toolchain: Toolchain) -> None:
    """Whoever may write there runs code as whoever compiles. Raises ToolchainFailed."""
    for path in (toolchain.folder.parent, toolchain.folder, toolchain.python.parent):
        facts = path.stat()
        if facts.st_uid not in (0, os.geteuid()) or facts.st_mode & stat.S_IWOTH:
            raise ToolchainFailed(
                "others may write to the toolchain, whose code would be run",
                where=str(path),
                why=f"owner {facts.st_uid}, mode {stat.S_IMODE(facts.st_mode):03o}",
                hint="limosa toolchain remove litert; then install it in a folder of your own",
            )


def install(
    *,
    check: Check,
    root: Path | None = None,
    python: Path | None = None,
    pins_file: Path = PINS,
    on_step: OnStep = lambda text: None,
) -> Toolchain:
    """Makes it unless it is there. `check` is called before it takes its name: what fails is not kept.

    One install at a time; others wait. Raises NoPython, ToolchainFailed, or what `check` raises.
    """
    root = root or toolchains_folder()
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root, on_step):
        _clear(root)
        final = Toolchain(folder=root / folder_name(pins_file))
        if final.folder.is_dir():
            return final
        base = find_python(wanted=python)
        on_step(f"Python {base.text}: {base.path}")
        part = Path(tempfile.mkdtemp(prefix=final.folder.name + _PART, dir=root))
        try:
            _make(base, part, pins_file, on_step)
            on_step("checking: a small model is converted, quantized and run")
            check(Toolchain(folder=part))
            part.rename(final.folder)  # an environment finds itself from where its interpreter lies
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return final


def remove(root: Path | None = None) -> tuple[Toolchain, ...]:
    """All of them, of whatever pins; gives what was removed."""
    root = root or toolchains_folder()
    if not root.is_dir():
        return ()
    with _locked(root, lambda text: None):
        _clear(root)
        gone = installed(root)
        for toolchain in gone:
            doomed = toolchain.folder.with_name(toolchain.folder.name + _PART + "removed")
            toolchain.folder.rename(doomed)  # whole, or not there: also when this is interrupted
            shutil.rmtree(doomed)
        return gone


def _make(base: Python, part: Path, pins_file: Path, on_step: OnStep) -> None:
    _run([str(base.path), "-I", "-m", "venv", str(part)], what="an environment cannot be made")
    on_step(f"installing {len(pins(pins_file))} packages")
    options = ["--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check", "-q"]
    _run(
        [str(part / "bin/python"), "-m", "pip", "install", *options, "-r", str(pins_file)],
        what="its packages cannot be installed",
    )


def _run(command: list[str], *, what: str) -> None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMITS.install_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolchainFailed(what, where=command[0], why=f"stopped after {LIMITS.install_s:g} s") from error
    if done.returncode != 0:
        raise ToolchainFailed(
            what,
            where=command[0],
            why=_reason(done.stderr or done.stdout),
            hint="it needs pip's package index; pip's own settings (PIP_INDEX_URL, pip.conf) hold",
        )


def _reason(said: str) -> str:
    """
    >>> _reason("WARNING: old\\nERROR: No matching distribution found for onnx2tf\\n\\n")
    'ERROR: No matching distribution found for onnx2tf'
    """
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return ((errors or lines or ["it does not say why"])[-1])[:300]


@contextmanager
def _locked(root: Path, on_step: OnStep) -> Iterator[None]:
    with (root / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_step("another process is at it: waiting")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _clear(root: Path) -> None:
    """What was interrupted: nobody else writes while the lock is ours."""
    for left in root.glob(f"{NAME}-*{_PART}*"):
        shutil.rmtree(left, ignore_errors=True)

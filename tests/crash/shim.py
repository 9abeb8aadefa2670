"""The recorder where no process may be traced: the file operations of `os` tell what they did, in strace's
words, so that what reads a trace reads this too.

It sees what Python code does. SQLite does its own, so paths with a database need strace.
"""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

FLAGS: Final = ("O_CREAT", "O_TRUNC", "O_APPEND")
WRITING: Final = frozenset("wax+")


class _Raw(io.RawIOBase):
    """A file opened for writing whose every write is one of `os.write`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: Any) -> int:
        return os.write(self._descriptor, bytes(data))

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._descriptor)


@contextmanager
def recording(trace: Path) -> Iterator[None]:
    """Until the end of the block; the trace is written then."""
    lines: list[str] = []
    try:
        with ExitStack() as stack:
            for name, words in SPOKEN.items():
                stack.enter_context(patch.object(os, name, _telling(lines, name, words)))
            stack.enter_context(patch.object(os, "fdopen", _opened_for_writing(os.fdopen)))
            stack.enter_context(patch.object(io, "open", _refused_for_writing(builtins.open)))
            yield
    finally:
        trace.write_text("".join(lines))


def _telling(lines: list[str], name: str, words: Callable[..., str]) -> Callable[..., Any]:
    real = getattr(os, name)

    def call(*given: Any, **named: Any) -> Any:
        result = real(*given, **named)
        lines.append(f"1 {words(*given, **named)} = {result if isinstance(result, int) else 0}\n")
        return result

    return call


def _opened_for_writing(real: Callable[..., Any]) -> Callable[..., Any]:
    def call(descriptor: int, mode: str = "r", *given: Any, **named: Any) -> Any:
        if WRITING & set(mode):
            assert mode == "wb", f"the shim does not know the mode {mode}"
            return io.BufferedWriter(_Raw(descriptor))
        return real(descriptor, mode, *given, **named)

    return call


def _refused_for_writing(real: Callable[..., Any]) -> Callable[..., Any]:
    """What the agent must keep goes through descriptors: a file opened otherwise would not be seen."""

    def call(file: Any, mode: str = "r", *given: Any, **named: Any) -> Any:
        hidden = (
            WRITING & set(mode) and "opener" not in named
        )  # temporary files have one, and a name elsewhere
        assert not hidden, f"{file} is opened for writing out of the shim's sight"
        return real(file, mode, *given, **named)

    return call


def _text(value: Any) -> str:
    data = value if isinstance(value, bytes) else os.fsencode(value)
    return '"' + "".join(f"\\x{byte:02x}" for byte in data) + '"'


def _open(path: Any, flags: int, mode: int = 0o777, **named: Any) -> str:
    names = [name for name in FLAGS if flags & getattr(os, name)]
    return f"openat(AT_FDCWD, {_text(path)}, {'|'.join(['O_RDWR', *names])}, {mode:#o})".replace("0o", "0")


SPOKEN: Final[dict[str, Callable[..., str]]] = {
    "open": _open,
    "close": lambda fd: f"close({fd})",
    "write": lambda fd, data: f"write({fd}, {_text(bytes(data))}, {len(data)})",
    "lseek": lambda fd, offset, how: f"lseek({fd}, {offset}, {how})",
    "ftruncate": lambda fd, size: f"ftruncate({fd}, {size})",
    "fsync": lambda fd: f"fsync({fd})",
    "rename": lambda a, b, **named: f"rename({_text(a)}, {_text(b)})",
    "replace": lambda a, b, **named: f"rename({_text(a)}, {_text(b)})",
    "link": lambda a, b, **named: f"link({_text(a)}, {_text(b)})",
    "symlink": lambda a, b, *rest, **named: f"symlink({_text(a)}, {_text(b)})",
    "unlink": lambda path, **named: f"unlink({_text(path)})",
    "rmdir": lambda path, **named: f"rmdir({_text(path)})",
    "mkdir": lambda path, mode=0o777, **named: f"mkdir({_text(path)}, {mode:#o})".replace("0o", "0"),
}
"""Function of `os` -> the line that strace would write of it."""

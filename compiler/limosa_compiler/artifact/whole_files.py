"""Files that are there whole or not at all, alone or together: temporary, fsync, rename, fsync."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def written_at_once(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name only when the block ends well; else what was there before stays."""
    with written_together(path) as (stream,):
        yield stream


@contextmanager
def written_together(*paths: Path) -> Iterator[tuple[BinaryIO, ...]]:
    """Files of one folder that get their names, in the order given, only when the block ends well.

    All are durable before the first has its name. Should a name then be refused, the names given before it
    are taken back: no file is left without those that belong to it.
    """
    temporaries = [path.with_name(f".{path.name}.{os.getpid()}.partial") for path in paths]
    named: list[Path] = []
    try:
        with ExitStack() as opened:
            streams = tuple(opened.enter_context(temporary.open("wb")) for temporary in temporaries)
            yield streams
            for stream in streams:
                stream.flush()
                os.fsync(stream.fileno())
        for temporary, path in zip(temporaries, paths, strict=True):
            temporary.replace(path)
            named.append(path)
    except BaseException:
        for left in (*temporaries, *named):
            left.unlink(missing_ok=True)
        raise
    _make_names_durable(paths[0].parent)


def _make_names_durable(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files of a slot, read whole and bounded."""

from __future__ import annotations

import os
from pathlib import Path

from limosa_agent.serving.errors import LoadFailed


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Raises LoadFailed if it cannot be read or is larger."""
    try:
        with path.open("rb") as file:
            # read(n) allocates n at once: the size decides how much is asked for
            data = file.read(min(max_bytes, os.fstat(file.fileno()).st_size) + 1)
    except OSError as error:
        raise LoadFailed("a file of the slot cannot be read", where=str(path), why=str(error)) from error
    if len(data) > max_bytes:
        raise LoadFailed("a file of the slot is too large", where=str(path), why=f"over {max_bytes} bytes")
    return data

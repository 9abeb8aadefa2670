"""Children that a killed supervisor left behind end themselves: the next one has its own."""

from __future__ import annotations

import os
import threading
import time
from typing import Final

CHECK_S: Final = 1.0


def end_with_parent() -> None:
    """From now on this process does not outlive the one that started it for more than a second."""
    threading.Thread(target=_watch, args=(os.getppid(),), name="orphan", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(CHECK_S)
    os._exit(1)

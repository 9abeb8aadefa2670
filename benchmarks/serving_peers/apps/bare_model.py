"""What every peer's server is given: the same session, options and threads. Runs in the peers' environments.

`async run(flat)`: on the loop for a fast model, else in a pool of THREADS threads, as ours does it.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

PORT = int(os.environ["PEER_PORT"])
THREADS = int(os.environ["PEER_THREADS"])
SHAPE = tuple(int(word) for word in os.environ["PEER_SHAPE"].split(","))
INLINE = os.environ["PEER_INLINE"] == "1"


def load() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = True
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model = Path(os.environ["PEER_MODEL"]).read_bytes()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class BareModel:
    def __init__(self) -> None:
        self._session = load()
        self._threads = ThreadPoolExecutor(THREADS)

    def now(self, values: Any) -> Any:
        """float32 outputs of one row; `values` is flat or has the shape."""
        array = np.asarray(values, np.float32).reshape(SHAPE)
        return self._session.run(["y"], {"x": array})[0]

    async def run(self, values: Any) -> Any:
        if INLINE:
            return self.now(values)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.now, values)

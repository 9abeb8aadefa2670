"""One model in onnxruntime, fed in batches; the only module of the compiler that makes sessions."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import onnxruntime as ort

from limosa_compiler.arrays import Array, Arrays
from limosa_compiler.errors import ModelRefused
from limosa_compiler.limits import LIMITS

RUNS_AT_ONCE = min(2, os.cpu_count() or 1)
RUNTIME_ERRORS = (
    ort.capi.onnxruntime_pybind11_state.Fail,
    ort.capi.onnxruntime_pybind11_state.InvalidArgument,
    ort.capi.onnxruntime_pybind11_state.InvalidGraph,
    ort.capi.onnxruntime_pybind11_state.InvalidProtobuf,
    ort.capi.onnxruntime_pybind11_state.NotImplemented,
    ort.capi.onnxruntime_pybind11_state.RuntimeException,
    RuntimeError,
    MemoryError,
)


class Runner:
    """A session on one thread, so that sums are made in one order and outputs repeat exactly."""

    def __init__(
        self,
        model: bytes,
        *,
        optimize: bool = True,
        what: str = "model",
        batch_rows: int = LIMITS.batch_rows,
    ) -> None:
        """Loads from bytes, never from a path (trust 7.2). Raises ModelRefused.

        `batch_rows`: most rows that are run at once, fewer where rows are large.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        if not optimize:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except RUNTIME_ERRORS as error:
            raise ModelRefused("onnxruntime does not load it", where=what, why=_short(error)) from error
        self.input_names: tuple[str, ...] = tuple(item.name for item in self._session.get_inputs())
        self.output_names: tuple[str, ...] = tuple(item.name for item in self._session.get_outputs())
        first = [item.shape[0] if item.shape else 1 for item in self._session.get_inputs()]
        fixed = [size for size in first if isinstance(size, int)]
        self.batch_rows = min([batch_rows, *fixed])
        self._what = what

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """One batch. Raises ModelRefused."""
        feed = {name: inputs[name] for name in self.input_names}
        try:
            outputs: Sequence[Array] = self._session.run(None, feed)
        except RUNTIME_ERRORS as error:
            raise ModelRefused("onnxruntime does not run it", where=self._what, why=_short(error)) from error
        return dict(zip(self.output_names, outputs, strict=True))

    def predict(self, inputs: Arrays) -> dict[str, Array]:
        """All rows, in batches as large as the model takes. Raises ModelRefused."""
        rows = len(next(iter(inputs.values())))
        batches = [
            {name: array[begin : begin + self.batch_rows] for name, array in inputs.items()}
            for begin in range(0, rows, self.batch_rows)
        ]
        parts = list(in_parallel(self.run, batches))
        return {name: np.concatenate([part[name] for part in parts]) for name in self.output_names}

    def time_once(self, inputs: Arrays) -> float:
        """Seconds for one run."""
        begin = time.perf_counter()
        self.run(inputs)
        return time.perf_counter() - begin


def in_parallel(
    run: Callable[[Arrays], dict[str, Array]], batches: Iterable[Arrays]
) -> Iterator[dict[str, Array]]:
    """Answers in order, RUNS_AT_ONCE batches at a time and never more in memory.

    Each run stays on one thread, so its sums, and with them its bits, are the same as one by one.
    """
    waiting: deque[Future[dict[str, Array]]] = deque()
    with ThreadPoolExecutor(max_workers=RUNS_AT_ONCE) as pool:
        for batch in batches:
            waiting.append(pool.submit(run, batch))
            if len(waiting) >= RUNS_AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__

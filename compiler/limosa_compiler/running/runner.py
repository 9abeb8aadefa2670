"""One model in onnxruntime, fed in batches; the only module of the compiler that makes sessions."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import onnxruntime as ort

from limosa_compiler.arrays import Array, Arrays
from limosa_compiler.errors import ModelRefused
from limosa_compiler.limits import LIMITS
from limosa_compiler.running.runs import batches_of, joined

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
# A session otherwise keeps what its largest batch took, for as long as it lives: 700 MB of a 24 MB model.
_GIVE_BACK = ("memory.enable_memory_arena_shrinkage", "cpu:0")


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
        self._giving_back = ort.RunOptions()
        self._giving_back.add_run_config_entry(*_GIVE_BACK)

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """One batch; its memory is given back. Raises ModelRefused."""
        return self._run(inputs, self.output_names, self._giving_back)

    def answers(self, inputs: Arrays, outputs: Sequence[str] = ()) -> Iterator[dict[str, Array]]:
        """All rows, in batches as large as the model takes. Raises ModelRefused."""
        names = tuple(outputs) or self.output_names
        batches = batches_of(inputs, self.batch_rows)
        return in_parallel(lambda batch: self._run(batch, names, self._giving_back), batches)

    def predict(self, inputs: Arrays) -> dict[str, Array]:
        """All rows. Raises ModelRefused."""
        return joined(self.answers(inputs), self.output_names)

    def time_once(self, inputs: Arrays) -> float:
        """Seconds for one run, which keeps its memory for the next, as on a device."""
        begin = time.perf_counter()
        self._run(inputs, self.output_names, None)
        return time.perf_counter() - begin

    def _run(self, inputs: Arrays, names: Sequence[str], how: ort.RunOptions | None) -> dict[str, Array]:
        feed = {name: inputs[name] for name in self.input_names}
        try:
            outputs: Sequence[Array] = self._session.run(names, feed, how)
        except RUNTIME_ERRORS as error:
            raise ModelRefused("onnxruntime does not run it", where=self._what, why=_short(error)) from error
        return dict(zip(names, outputs, strict=True))


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

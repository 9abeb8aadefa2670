"""Runs one variant of a model on the rows of a case, published or compiled, recurrent or not."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import onnxruntime

from benchmarks.datasets.case import LABEL, Arrays, Case

BATCH: Final = 16
Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Feeds:
    """What fills the inputs that are no data: constants, and states that begin with zeros."""

    constants: Mapping[str, Any]
    states: Mapping[str, str]  # input -> the output that feeds it in the next step

    @classmethod
    def of(cls, case: Case) -> Feeds:
        blocks = {name: cast("Mapping[str, Any]", block) for name, block in case.inputs.items()}
        return cls(
            {name: block["value"] for name, block in blocks.items() if "value" in block},
            {name: block["state_from"] for name, block in blocks.items() if "state_from" in block},
        )


class Variant:
    """A session on one thread; `model` is a file or its bytes."""

    def __init__(self, model: Path | bytes, case: Case) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        source = model if isinstance(model, bytes) else str(model)
        self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self._inputs = {item.name: item for item in self._session.get_inputs()}
        self._outputs = [item.name for item in self._session.get_outputs()]
        self._feeds = Feeds.of(case)
        self._output = str(case.metric.get("output", "")) or self._outputs[0]

    def batches(self, rows: Arrays) -> Iterator[Array]:
        """The output that the metric reads, 16 rows at a time: some outputs are large."""
        data = {name: array for name, array in rows.items() if name != LABEL}
        count = len(next(iter(data.values())))
        for begin in range(0, count, BATCH):
            yield self.answer({name: array[begin : begin + BATCH] for name, array in data.items()})

    def answer(self, rows: Arrays) -> Array:
        """[N, …], or [N, T, …] of a recurrent model over sequences [N, T, …]."""
        if not self._feeds.states:
            return cast("Array", self._session.run([self._output], self._whole(rows))[0])
        said = [feed_and_said[1] for feed_and_said in self.steps(rows)]
        return np.stack(said, axis=1)

    def steps(self, rows: Arrays) -> Iterator[tuple[dict[str, Array], Array]]:
        """(what a step was fed, what it answered), with the states that really occur."""
        count, length = next(iter(rows.values())).shape[:2]
        states = {name: self._zeros(name, count) for name in self._feeds.states}
        for step in range(length):
            feed = self._whole({name: array[:, step] for name, array in rows.items()} | states)
            said = dict(zip(self._outputs, self._session.run(None, feed), strict=True))
            states = {name: said[source] for name, source in self._feeds.states.items()}
            yield feed, said[self._output]

    def time_once(self, row: Mapping[str, Array]) -> float:
        """Seconds for one row, or for one step of it."""
        feed = next(self.steps(row))[0] if self._feeds.states else self._whole(row)
        begin = time.perf_counter()
        self._session.run(None, feed)
        return time.perf_counter() - begin

    def _whole(self, rows: Mapping[str, Array]) -> dict[str, Array]:
        """Only what this variant asks for: a compiled one has its constants inside."""
        kinds = {"tensor(int64)": np.int64, "tensor(float)": np.float32, "tensor(int32)": np.int32}
        constants = {
            name: np.array(value, kinds[self._inputs[name].type])
            for name, value in self._feeds.constants.items()
            if name in self._inputs
        }
        return dict(rows) | constants

    def _zeros(self, name: str, count: int) -> Array:
        """The one axis that is not fixed is the batch, wherever it lies."""
        shape = [size if isinstance(size, int) else count for size in self._inputs[name].shape]
        return np.zeros(shape, np.float32)

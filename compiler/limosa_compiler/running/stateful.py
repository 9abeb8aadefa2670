"""Recurrent models: rows are sequences, fed step by step; states go from each step to the next.

A device sees one step at a time and keeps the states itself: every tensor is [N, ...] there. Here a row
of data is a whole sequence [steps, ...], which begins with states of zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from limosa_compiler.arrays import Array, Arrays
from limosa_compiler.data import Rows, RowStream
from limosa_compiler.running.runs import Runs, batches_of, joined
from limosa_contracts.json_value import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """`output` of a step is `input` of the next; `shape` is that of one row."""

    input: str
    output: str
    shape: tuple[int, ...]
    dtype: str  # numpy's name

    def zeros(self, rows: int) -> Array:
        return np.zeros((rows, *self.shape), self.dtype)

    def as_json(self) -> dict[str, JsonValue]:
        return {"input": self.input, "output": self.output}


class StatefulRunner:
    """`Runs` over sequences [n, steps, ...], from zero states.

    Answers are those of the last step [n, ...], or of each [n, steps, ...] with `every_step`.
    """

    def __init__(self, plain: Runs, states: Sequence[State], *, every_step: bool = False) -> None:
        self.plain = plain
        self._states = tuple(states)
        self._every_step = every_step
        fed, answered = {state.input for state in states}, {state.output for state in states}
        self.input_names: tuple[str, ...] = tuple(name for name in plain.input_names if name not in fed)
        self.output_names: tuple[str, ...] = tuple(
            name for name in plain.output_names if name not in answered
        )

    @property
    def batch_rows(self) -> int:
        return self.plain.batch_rows

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """One batch of sequences. Raises ModelRefused."""
        answers: list[dict[str, Array]] = []
        for _, outputs in self.steps(inputs):
            kept = {name: outputs[name] for name in self.output_names}
            if self._every_step or not answers:
                answers.append(kept)
            else:
                answers[0] = kept
        if not self._every_step:
            return answers[0]
        return {name: np.stack([one[name] for one in answers], axis=1) for name in self.output_names}

    def answers(self, inputs: Arrays, outputs: Sequence[str] = ()) -> Iterator[dict[str, Array]]:
        """Sequences in any number, some at a time. Raises ModelRefused."""
        for batch in batches_of({name: inputs[name] for name in self.input_names}, self.batch_rows):
            said = self.run(batch)
            yield {name: said[name] for name in outputs or self.output_names}

    def predict(self, inputs: Arrays) -> dict[str, Array]:
        """Sequences in any number. Raises ModelRefused."""
        return joined(self.answers(inputs), self.output_names)

    def time_once(self, inputs: Arrays) -> float:
        """Seconds of one step: of the given one with its states, else of the first of a sequence."""
        if all(state.input in inputs for state in self._states):
            return self.plain.time_once(inputs)
        feed, _ = next(self.steps(inputs))
        return self.plain.time_once(feed)

    def steps(self, inputs: Arrays) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
        """(what is fed, what is answered) of every step of one batch, with states on both sides."""
        first = inputs[self.input_names[0]]
        rows, count = first.shape[:2]
        states = {state.input: state.zeros(rows) for state in self._states}
        for step in range(count):
            feed = {name: np.ascontiguousarray(inputs[name][:, step]) for name in self.input_names} | states
            outputs = self.plain.run(feed)
            yield feed, outputs
            states = {state.input: outputs[state.output] for state in self._states}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStream:
    """Calibration by single steps with the states that they really have: ranges include those."""

    sequences: RowStream
    make_runner: Callable[[], StatefulRunner]

    @property
    def count(self) -> int:
        """Sequences."""
        return self.sequences.count

    @property
    def digest(self) -> str:
        return self.sequences.digest

    def batches(self, rows: int) -> Iterator[dict[str, Array]]:
        runner = self.make_runner()
        for batch in self.sequences.batches(min(rows, runner.batch_rows)):
            for feed, _ in runner.steps(batch):
                yield feed


def steps_of(runner: StatefulRunner, rows: Rows, *, most: int) -> Rows:
    """Single steps with their states, of sequences spread evenly, about `most` in all; without labels."""
    length = next(iter(rows.inputs.values())).shape[1]
    count = max(1, min(rows.count, most // max(1, length)))
    spread = np.unique(np.linspace(0, rows.count - 1, count).astype(np.int64))
    parts: list[Mapping[str, Array]] = []
    chosen = rows.take(spread)
    for batch in chosen.batches(runner.batch_rows):
        parts += [feed for feed, _ in runner.steps(batch)]
    kept = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    total = len(next(iter(kept.values())))
    few = np.unique(np.linspace(0, total - 1, min(most, total)).astype(np.int64))
    return Rows(inputs={name: array[few] for name, array in kept.items()}, labels=None)

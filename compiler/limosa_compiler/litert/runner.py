"""A .tflite model as `Runs`: one long-lived worker of the toolchain that holds it (compiler 2.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from limosa_compiler.arrays import Array, Arrays
from limosa_compiler.errors import ModelRefused, PassFailed, ToolchainFailed
from limosa_compiler.litert.conversion import as_array
from limosa_compiler.litert.limits import LIMITS
from limosa_compiler.litert.process import Answer, Gone, Refused, Worker
from limosa_compiler.litert.toolchain import Toolchain
from limosa_compiler.running.runs import batches_of, joined
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.serving import NUMPY_OF_DTYPE, TensorSpec

_DTYPE_OF_NUMPY = {name: dtype for dtype, name in NUMPY_OF_DTYPE.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a .tflite model takes and gives, as it says itself."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    quantized: bool
    runtime: str  # version of LiteRT that loaded it

    @classmethod
    def parse(cls, value: JsonValue) -> Self:
        fields = Fields(value, where="signature")
        return cls(
            inputs=_specs(fields, "inputs"),
            outputs=_specs(fields, "outputs"),
            quantized=fields.boolean("quantized"),
            runtime=fields.text("runtime", max_chars=64),
        )


class LitertRunner:
    """Rows go through one at a time, as on a device; on one thread, so that outputs repeat exactly."""

    def __init__(self, toolchain: Toolchain, model: bytes, *, what: str = "model") -> None:
        """Raises ModelRefused if LiteRT does not load it within its limits."""
        self._what = what
        self._worker = Worker(toolchain.python, model_bytes=len(model))
        answer = self._ask("load", {"model": as_array(model)}, timeout_s=LIMITS.start_s)
        self.signature = Signature.parse(dict(answer.head))
        self.input_names: tuple[str, ...] = tuple(spec.name for spec in self.signature.inputs)
        self.output_names: tuple[str, ...] = tuple(spec.name for spec in self.signature.outputs)
        self.batch_rows = LIMITS.batch_rows

    def close(self) -> None:
        """Ends the worker; done at the latest when this is no longer referred to."""
        self._worker.close()

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """One batch. Raises ModelRefused."""
        answer = self._ask("run", {name: inputs[name] for name in self.input_names}, timeout_s=LIMITS.run_s)
        if answer.arrays.keys() != set(self.output_names):
            raise ToolchainFailed("its worker answers with other outputs", where=self._what)
        return {name: answer.arrays[name] for name in self.output_names}

    def answers(self, inputs: Arrays, outputs: Sequence[str] = ()) -> Iterator[dict[str, Array]]:
        """All rows, some at a time. Raises ModelRefused."""
        for batch in batches_of(inputs, self.batch_rows):
            said = self.run(batch)
            yield {name: said[name] for name in outputs or self.output_names}

    def predict(self, inputs: Arrays) -> dict[str, Array]:
        """All rows. Raises ModelRefused."""
        return joined(self.answers(inputs), self.output_names)

    def time_once(self, inputs: Arrays) -> float:
        """Seconds for one row, without the way to the worker and back."""
        row = {name: inputs[name][:1] for name in self.input_names}
        seconds = self._ask("time", row, timeout_s=LIMITS.run_s).head.get("seconds")
        if not isinstance(seconds, float):
            raise ToolchainFailed("its worker answers without a time", where=self._what)
        return seconds

    def _ask(self, question: str, arrays: Arrays, *, timeout_s: float) -> Answer:
        try:
            return self._worker.ask(question, arrays=arrays, timeout_s=timeout_s)
        except (Refused, Gone) as error:
            self.close()
            doing = "load" if question == "load" else "run"
            raise ModelRefused(f"LiteRT does not {doing} it", where=self._what, why=str(error)) from error


def require_same_interface(
    got: Signature, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec], *, where: str
) -> None:
    """Names, types and shapes as clients see them, whatever the layout inside. Raises PassFailed."""
    for specs, found in ((inputs, got.inputs), (outputs, got.outputs)):
        have = {spec.name: spec for spec in found}
        for spec in specs:
            other = have.get(spec.name)
            if other is None or other.dtype != spec.dtype or not fits(other.shape, spec.shape):
                became = f"{other.dtype} {list(other.shape)}" if other else f"none of {sorted(have)}"
                raise PassFailed(
                    f"the conversion changed {spec.name!r}",
                    where=where,
                    why=f"{spec.dtype} {list(spec.shape)} became {became}",
                )


def fits(got: Sequence[int], wanted: Sequence[int]) -> bool:
    """A free dimension may have become 1: only a row's shape is known before a row comes.

    >>> fits([1, 6, 100], [-1, 6, 100]), fits([-1, 100, 6], [-1, 6, 100])
    (True, False)
    """
    same = (have == want or -1 in (have, want) for have, want in zip(got, wanted, strict=False))
    return len(got) == len(wanted) and all(same)


def _specs(fields: Fields, name: str) -> tuple[TensorSpec, ...]:
    return tuple(_spec(Fields(item, where=place)) for place, item in fields.items(name, max_items=64))


def _spec(fields: Fields) -> TensorSpec:
    return TensorSpec(
        name=fields.text("name", max_chars=256),
        dtype=_DTYPE_OF_NUMPY[fields.choice("dtype", tuple(_DTYPE_OF_NUMPY))],
        shape=fields.integers("shape", low=-1, max_items=16),
    )

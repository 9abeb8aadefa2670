"""Whether inputs are what `serving.json` declares: names, types, shapes, ranges, categories (agent 5.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from limosa_agent.serving.errors import InputCategory, InputDtype, InputNames, InputRange, InputShape
from limosa_agent.serving.tensor_codec import NUMPY, Array
from limosa_contracts.serving import Serving, TensorSpec

SHOWN_MAX: Final = 16  # categories in a hint


class _InputCheck:
    """One input. The last shape that passed is kept: nearly every request has it."""

    __slots__ = ("_categories", "_high", "_low", "_passed", "dtype", "name", "ranged", "shape", "spec")

    def __init__(self, spec: TensorSpec) -> None:
        self.spec = spec
        self.name = spec.name
        self.dtype = NUMPY[spec.dtype]
        self.shape = spec.shape
        self.ranged = spec.low is not None or spec.high is not None
        self._low = -np.inf if spec.low is None else spec.low
        self._high = np.inf if spec.high is None else spec.high
        self._categories = frozenset(spec.categories)
        self._passed: tuple[int, ...] | None = None

    def __call__(self, array: Array) -> None:
        if array.shape != self._passed:
            self._check_shape(array.shape)
            self._passed = array.shape
        if array.dtype != self.dtype:
            raise InputDtype(f"{array.dtype} came", where=self.name, why=f"the model takes {self.spec.dtype}")
        # NaN is neither >= low nor <= high, so it is refused with what lies outside.
        # By its place, which costs half of what the value does: of several NaN the first is the place.
        if self.ranged and not (
            array.item(array.argmin()) >= self._low and array.item(array.argmax()) <= self._high
        ):
            raise InputRange(
                "a value lies outside the declared range, or is NaN",
                where=self.name,
                why=f"{self._low:g} to {self._high:g}",
            )
        if self._categories:
            self._check_categories(array)

    def _check_categories(self, array: Array) -> None:
        # A client of the same process may give bytes where a request brings texts.
        texts = {
            str(item, "utf-8", "replace") if isinstance(item, bytes) else item
            for item in array.ravel().tolist()
        }
        unknown = sorted(str(text) for text in texts - self._categories)
        if unknown:
            known = sorted(self._categories)
            raise InputCategory(
                f"{unknown[0][:80]!r} is no category that the model knows",
                where=self.name,
                hint=f"it knows {', '.join(name[:80] for name in known[:SHOWN_MAX])}"
                + (f" and {len(known) - SHOWN_MAX} more" if len(known) > SHOWN_MAX else ""),
            )

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        fits = len(shape) == len(self.shape) and all(
            got == want or (want == -1 and got > 0) for got, want in zip(shape, self.shape, strict=True)
        )
        if not fits:
            raise InputShape(
                f"shape {list(shape)} came", where=self.name, why=f"the model takes {list(self.shape)}"
            )


class SchemaCheck:
    """Call it with the inputs; gives the number of rows."""

    def __init__(self, serving: Serving, *, rows_max: int) -> None:
        self._inputs: Final = tuple(_InputCheck(spec) for spec in serving.inputs)
        self._count: Final = len(self._inputs)
        self._rows_max: Final = rows_max
        self._batched: Final = tuple(
            check.name for check in self._inputs if check.shape and check.shape[0] == -1
        )
        first = serving.inputs[0].shape
        self._fixed_rows: Final = first[0] if first and first[0] > 0 else 1

    def __call__(self, inputs: Mapping[str, Array]) -> int:
        """Rows of the batch. Raises InputNames, InputDtype, InputShape, InputRange, InputCategory."""
        if len(inputs) != self._count:
            raise self._names(inputs)
        try:
            for check in self._inputs:
                check(inputs[check.name])
        except KeyError:
            raise self._names(inputs) from None
        if not self._batched:
            return self._fixed_rows
        rows: int = inputs[self._batched[0]].shape[0]
        if len(self._batched) > 1 and any(inputs[name].shape[0] != rows for name in self._batched):
            raise InputShape("the inputs have different numbers of rows", where=", ".join(self._batched))
        if rows > self._rows_max:
            raise InputShape(f"{rows} rows came", where=self._batched[0], why=f"at most {self._rows_max}")
        return rows

    def _names(self, inputs: Mapping[str, Array]) -> InputNames:
        known = {check.name for check in self._inputs}
        missing, unknown = sorted(known - set(inputs)), sorted(set(inputs) - known)
        return InputNames(
            "the inputs are not those of the model",
            where="inputs",
            why="; ".join(
                f"{word}: {', '.join(name[:80] for name in names)}"
                for word, names in (("missing", missing), ("unknown", unknown))
                if names
            ),
            hint=f"the model takes {', '.join(sorted(known))}",
        )

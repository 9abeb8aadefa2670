"""What a step is: parameters, the type it needs before it, and the nodes it adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from limosa_compiler.processing.graph_parts import GraphParts, Place, Value
from limosa_compiler.processing.tensor_type import TensorType

OPSET_MIN: Final = 17
FLOATS: Final = ("float32", "float64", "float16")
INTEGERS: Final = ("uint8", "uint16", "int8", "int16", "int32", "int64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a chain: a tensor in, a tensor out; the first dimension stays the batch.

    `equals` says which training-side call gives the same; `sensitive` what may differ between processors.
    """

    name: ClassVar[str]
    says: ClassVar[str]
    equals: ClassVar[str]
    sensitive: ClassVar[str] = "last bits"

    @property
    def opset_min(self) -> int:
        """The oldest operator set that has what this step needs."""
        return OPSET_MIN

    def problem(self) -> str:
        """Why the parameters do not go together; "" if they do."""
        return ""

    def before(self, after: TensorType, place: Place) -> TensorType:
        """The type that this step needs to give `after`. Raises StepRefused."""
        raise NotImplementedError

    def build(self, parts: GraphParts, value: Value) -> Value:
        """Raises StepRefused if the step does not take a value of this type."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyStep(Step):
    """A step of postprocessing that reads or gives several outputs of the model."""

    def build_many(
        self, parts: GraphParts, name: str, outputs: Mapping[str, Value], target: str
    ) -> Mapping[str, Value | None]:
        """Outputs that are new, changed, or gone (None). `target` is the name of the result."""
        raise NotImplementedError


def need_dtype(value: TensorType, allowed: tuple[str, ...], place: Place) -> None:
    """Raises StepRefused."""
    if value.dtype not in allowed:
        raise place.refused(
            f"it takes {', '.join(allowed)}, and there is {value}",
            hint="put a cast step where the type changes",
        )


def need_rank(value: TensorType, ranks: tuple[int, ...], place: Place) -> None:
    """Raises StepRefused."""
    if value.rank not in ranks:
        wanted = " or ".join(str(rank) for rank in ranks)
        raise place.refused(f"it takes {wanted} dimensions, and there is {value}")


def inner_axis(value: TensorType, axis: int, place: Place) -> int:
    """The axis counted from 0; never the batch. Raises StepRefused."""
    found = axis + value.rank if axis < 0 else axis
    if not 0 < found < value.rank:
        raise place.refused(
            f"axis {axis} is not one of {value} after the first, which is the batch", hint="axes count from 0"
        )
    return found

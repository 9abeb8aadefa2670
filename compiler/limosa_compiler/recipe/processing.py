"""`[[preprocess]]` and `[[postprocess]]` of a recipe: steps in order, each with its own keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Self

from limosa_compiler.processing.limits import LIMITS
from limosa_compiler.processing.parameters import parse_parameters
from limosa_compiler.processing.registry import POSTPROCESS, PREPROCESS
from limosa_compiler.processing.step import Step
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

_NAME_MAX = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedStep:
    """`tensor` is the input or output that the step works on; "" is the model's only one.

    `named` is the output that its result becomes; "" is `tensor` itself.
    """

    step: Step
    tensor: str = ""
    named: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processing:
    """Both lists, in the order in which values pass through them."""

    preprocess: tuple[PlacedStep, ...] = ()
    postprocess: tuple[PlacedStep, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.preprocess or self.postprocess)

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """From the recipe itself: takes its two lists. Raises InvalidField."""
        return cls(
            preprocess=_steps(fields, "preprocess", PREPROCESS, tensor="input"),
            postprocess=_steps(fields, "postprocess", POSTPROCESS, tensor="output"),
        )


def parse_step(table: JsonValue, known: Mapping[str, type[Step]], *, tensor: str, where: str) -> PlacedStep:
    """One table of either list. Raises InvalidField, naming the nearest step or key."""
    fields = Fields(table, where=where)
    name = fields.text("step", max_chars=64)
    if name not in known:
        near = get_close_matches(name, sorted(known), n=1)
        raise InvalidField(
            f"there is no step {name!r}",
            where=fields.at("step"),
            hint=f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}",
        )
    placed = PlacedStep(
        tensor=fields.optional(tensor, lambda key: fields.text(key, max_chars=_NAME_MAX), ""),
        named=(
            fields.optional("as", lambda key: fields.text(key, max_chars=_NAME_MAX), "")
            if tensor == "output"
            else ""
        ),
        step=parse_parameters(known[name], fields),
        where=where,
    )
    fields.refuse_rest()
    if why := placed.step.problem():
        raise InvalidField(f"parameters of step {name!r} do not go together", where=where, why=why)
    return placed


def _steps(
    fields: Fields, key: str, known: Mapping[str, type[Step]], *, tensor: str
) -> tuple[PlacedStep, ...]:
    if not fields.optional(key, lambda name: True, False):
        return ()
    tables = fields.items(key, max_items=LIMITS.steps_max)
    return tuple(parse_step(table, known, tensor=tensor, where=place) for place, table in tables)

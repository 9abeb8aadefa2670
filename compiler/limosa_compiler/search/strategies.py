"""Which rungs are tried for which devices: what a profile's processor gains from (compiler 2.4, 5). Pure.

What pays is said by the profiles' `precisions`. 4-bit weights stand in those of 64-bit Arm, where
onnxruntime multiplies them faster than floats. They do not stand in those of x86, where they take about
as long as floats and 8-bit weights a third of that, nor in that of armv7, where they are unpacked first.
fp16 stands where the processor computes in it; elsewhere onnxruntime casts to fp32 and back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from limosa_compiler.calibration.range_table import CUTS, MINMAX
from limosa_compiler.recipe.search import SearchNotes
from limosa_compiler.rungs import dynamic_int8, fp16, static_int8, weights_int4
from limosa_compiler.rungs.rung import Rung
from limosa_compiler.rungs.static_int8 import WEIGHT_BITS, WEIGHT_BITS_SATURATING, Setting
from limosa_compiler.search.candidate import FP16, INT4, INT8
from limosa_contracts.json_value import JsonValue
from limosa_contracts.profiles import Profile

_X86: Final = "x86_64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """`settings` are those of the static rungs, from which the sensitivity search starts."""

    rungs: tuple[Rung, ...]
    settings: tuple[Setting, ...]
    searches: bool


def strategy_for(profiles: Sequence[Profile], notes: SearchNotes) -> Strategy:
    """Everything that one of the targets could be given, cheapest to make first."""
    precisions = {precision for profile in profiles for precision in profile.precisions}
    bits = _weight_bits(profiles)
    settings = tuple(
        Setting(ranges=ranges, core_only=core_only, weight_bits=count)
        for count in bits
        for core_only in (False, True)
        for ranges in (MINMAX, *CUTS)
    )
    rungs: list[Rung] = []
    if FP16 in precisions and notes.tries(fp16.RUNG.kind):
        rungs.append(fp16.RUNG)
    if INT4 in precisions and notes.tries(weights_int4.KIND):
        rungs.append(weights_int4.RUNG)
    if INT8 in precisions and notes.tries(dynamic_int8.KIND):
        rungs.extend(dynamic_int8.rung(count) for count in bits)
    if INT8 in precisions and notes.tries(static_int8.KIND):
        rungs.extend(static_int8.rung(setting) for setting in settings)
    return Strategy(
        rungs=tuple(rungs),
        settings=settings if INT8 in precisions else (),
        searches=INT8 in precisions and notes.tries("sensitivity") and notes.float_nodes_max > 0,
    )


def saturates(profile: Profile) -> bool:
    """Whether sums of U8 × S8 products overflow there: x86 without VNNI adds pairs of them in 16 bits.

    Arm adds them in 32 bits, with and without its dot product instructions.
    """
    return _X86 in profile.architectures and "vnni" not in profile.cpu_features


def unfit(recipe: Mapping[str, JsonValue], profile: Profile) -> str:
    """Why a candidate made by `recipe` must not go to these devices, or ""."""
    if recipe.get("weight_bits") == WEIGHT_BITS and saturates(profile):
        return f"{profile.name} has no VNNI: sums with 8-bit weights overflow there"
    if recipe.get("activations") == "float" and set(profile.precisions) == {INT8}:
        return f"{profile.name} takes int8 only: activations are float here"
    return ""


def is_coarser(recipe: Mapping[str, JsonValue], profile: Profile) -> bool:
    """Whether a candidate has 7-bit weights for the sake of other targets, where 8 bits are no danger."""
    return recipe.get("weight_bits") == WEIGHT_BITS_SATURATING and not saturates(profile)


def _weight_bits(profiles: Iterable[Profile]) -> tuple[int, ...]:
    """8, 7 or both, for the targets that take int8."""
    found = {
        WEIGHT_BITS_SATURATING if saturates(profile) else WEIGHT_BITS
        for profile in profiles
        if INT8 in profile.precisions
    }
    return tuple(sorted(found, reverse=True))

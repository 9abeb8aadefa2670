"""Which part of the fleet the failures have in common, told only where chance does not explain it.

A slice is one trait or two that hold together ("profile rpi4, previous 1.2.0"). Of all slices with
failures the one is named that explains them best, if a one-sided Fisher test of its devices against all
others stays below ALPHA after Bonferroni's correction for every slice that was looked at. A second trait
is named only if it tells the slice's own devices apart as surely.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from limosa_contracts.json_value import JsonValue
from limosa_server.core.planning.power import fisher
from limosa_server.core.wording import devices

ALPHA: Final = 0.05  # of telling chance as a cause, over all slices of one rollout
TRAITS_MAX: Final = 24  # traits that are compared; each pair is one more test
VALUES_MAX: Final = 50  # a trait with more values than this names devices, not a class
FIRST_NAMED: Final = ("profile", "previous", "agent")
FEW_FAILURES: Final = 2  # one failure has nothing in common with others

Terms = tuple[tuple[str, str], ...]
"""Traits and their values, in the order in which people name them; () is the whole fleet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Devices that share every trait: how many executed the release, how many of them failed."""

    traits: Mapping[str, str]
    executed: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """`failed` of `executed` in it, against `other_failed` of `other_executed` elsewhere.

    `p` is corrected for the number of slices looked at, 0..1.
    """

    terms: Terms
    failed: int
    executed: int
    other_failed: int
    other_executed: int
    p: float

    def holds(self, traits: Mapping[str, str]) -> bool:
        return all(traits.get(name, "") == value for name, value in self.terms)

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "terms": [[name, value] for name, value in self.terms],
            "failed": self.failed,
            "executed": self.executed,
            "other_failed": self.other_failed,
            "other_executed": self.other_executed,
            "p": round(self.p, 9),
        }


def common(cells: Sequence[Cell]) -> Slice | None:
    """The slice that the failures have in common; None where chance may be all there is."""
    whole = _total(cells)
    if whole[1] < FEW_FAILURES or whole[1] == whole[0]:
        return None
    traits = _comparable(cells)
    singles = _candidates(cells, [(name,) for name in traits])
    pairs = _candidates(cells, list(combinations(traits, 2)))
    looked_at = len(singles) + len(pairs)
    best = _best(cells, singles, whole, looked_at)
    wider = _best(cells, pairs, whole, looked_at)
    if wider is not None and (best is None or _sharper(cells, best, wider, looked_at)):
        return wider
    return best


def sentence(found: Slice | None, *, failed: int, executed: int) -> str:
    """What is told to people.

    >>> terms = (("profile", "rpi4"), ("previous", "1.2.0"))
    >>> one = Slice(terms=terms, failed=14, executed=15, other_failed=0, other_executed=85, p=1e-9)
    >>> sentence(one, failed=14, executed=100)
    'all 14 failures: profile rpi4, previous 1.2.0 (14 of 15 there, 0 of 85 elsewhere)'
    >>> sentence(None, failed=3, executed=10)
    '3 of 10 failed; no part of the fleet stands out by more than chance'
    """
    if failed == 0:
        return "nothing failed"
    if found is None:
        if failed == executed:
            who = "the one device" if executed == 1 else f"all {executed} devices"
            return f"{who} that tried it failed; there is no other to compare with"
        return f"{failed} of {executed} failed; no part of the fleet stands out by more than chance"
    which = "all" if found.failed == failed else f"{found.failed} of"
    return (
        f"{which} {failed} failures: {named(found.terms)} ({found.failed} of {found.executed} there, "
        f"{found.other_failed} of {found.other_executed} elsewhere)"
    )


def named(terms: Iterable[tuple[str, str]]) -> str:
    """
    >>> named([("profile", "rpi4"), ("label site", "lab")])
    'profile rpi4, site=lab'
    """
    words = []
    for name, value in terms:
        label = name.removeprefix("label ")
        words.append(f"{label}={value}" if label != name else f"{name} {value or 'none'}")
    return ", ".join(words) or "every device"


def told(cells: Sequence[Cell]) -> str:
    """The sentence of these cells."""
    executed, failed = _total(cells)
    return sentence(common(cells), failed=failed, executed=executed) if executed else f"{devices(0)} executed"


def _total(cells: Iterable[Cell]) -> tuple[int, int]:
    executed = failed = 0
    for cell in cells:
        executed, failed = executed + cell.executed, failed + cell.failed
    return executed, failed


def _comparable(cells: Sequence[Cell]) -> list[str]:
    """Traits with at least two values and not too many, in the order in which people name them."""
    values: dict[str, set[str]] = {}
    names = sorted({name for cell in cells for name in cell.traits}, key=lambda name: (_place(name), name))
    for name in names:
        values[name] = {cell.traits.get(name, "") for cell in cells}
    return [name for name in names if 2 <= len(values[name]) <= VALUES_MAX][:TRAITS_MAX]


def _candidates(cells: Sequence[Cell], keys: Sequence[tuple[str, ...]]) -> dict[Terms, tuple[int, int]]:
    """Slices with a failure -> (executed, failed)."""
    found: dict[Terms, tuple[int, int]] = {}
    for key in keys:
        for cell in cells:
            terms = tuple((name, cell.traits.get(name, "")) for name in key)
            executed, failed = found.get(terms, (0, 0))
            found[terms] = (executed + cell.executed, failed + cell.failed)
    return {terms: numbers for terms, numbers in found.items() if numbers[1]}


def _best(
    cells: Sequence[Cell], slices: Mapping[Terms, tuple[int, int]], whole: tuple[int, int], looked_at: int
) -> Slice | None:
    best: Slice | None = None
    for terms in sorted(slices):
        executed, failed = slices[terms]
        if executed == whole[0]:
            continue  # everybody is in it
        others = (whole[0] - executed, whole[1] - failed)
        p = min(1.0, fisher(failed, executed, others[1], others[0]) * looked_at)
        one = Slice(
            terms=terms,
            failed=failed,
            executed=executed,
            other_failed=others[1],
            other_executed=others[0],
            p=p,
        )
        if p < ALPHA and (best is None or _rank(one) < _rank(best)):
            best = one
    return best


def _rank(one: Slice) -> tuple[float, int, list[tuple[int, str, str]]]:
    """Of slices that explain as much, the one that people would name first."""
    return one.p, -one.failed, [(_place(name), name, value) for name, value in one.terms]


def _place(name: str) -> int:
    return FIRST_NAMED.index(name) if name in FIRST_NAMED else len(FIRST_NAMED)


def _sharper(cells: Sequence[Cell], wide: Slice, narrow: Slice, looked_at: int) -> bool:
    """Whether the second trait tells the devices of the one-trait slice apart as surely."""
    inside = [cell for cell in cells if wide.holds(cell.traits)]
    if not set(wide.terms) <= set(narrow.terms):
        return narrow.p < wide.p / looked_at
    executed, failed = _total(inside)
    left = (executed - narrow.executed, failed - narrow.failed)
    return fisher(narrow.failed, narrow.executed, left[1], left[0]) * looked_at < ALPHA

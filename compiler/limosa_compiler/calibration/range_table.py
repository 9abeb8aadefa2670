"""Ranges of every activation: extremes, and what is left when tails are cut (compiler 2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

MINMAX: Final = "minmax"
SHARES: Final[Mapping[str, float]] = {"p99.999": 0.99999, "p99.9": 0.999}
"""Name -> share of values that is kept. No calibrator wins everywhere: 99.9 % saves one model and
ruins another (compiler 3); entropy equals the extremes almost everywhere, and is left out."""
LEAST_ERROR: Final = "mse"
"""The range that leaves the least squared error: what is cut off and what is rounded, together."""
CUTS: Final = (*SHARES, LEAST_ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRange:
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeTable:
    """By tensor name: extremes, and by the names of CUTS what is kept when tails are cut."""

    minmax: Mapping[str, TensorRange]
    cut: Mapping[str, Mapping[str, TensorRange]]

    def named(self, name: str) -> Mapping[str, TensorRange]:
        """`minmax`, or one of CUTS."""
        return self.minmax if name == MINMAX else self.cut[name]

    @property
    def names(self) -> tuple[str, ...]:
        return (MINMAX, *self.cut)

    @property
    def digest(self) -> str:
        """64 hex digits; the table is an input of the build."""
        return sha256(encode_canonical(self.as_json())).hexdigest()

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "shares": dict(SHARES),
            "ranges": {name: _as_json(self.named(name)) for name in self.names},
        }

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """What `as_json` gave. Raises InvalidField."""
        shares = fields.fields("shares")
        for name in SHARES:
            if shares.number(name) != SHARES[name]:
                raise shares.wrong(name, f"it must be {SHARES[name]}")
        tables = fields.fields("ranges")
        minmax = _parse(tables, MINMAX)
        cut = {name: _parse(tables, name) for name in CUTS}
        for name, table in cut.items():
            if set(table) != set(minmax):
                raise tables.wrong(name, "it must have the tensors of minmax")
        return cls(minmax=minmax, cut=cut)


def _as_json(table: Mapping[str, TensorRange]) -> dict[str, JsonValue]:
    return {name: [item.low, item.high] for name, item in table.items()}


def _parse(tables: Fields, name: str) -> dict[str, TensorRange]:
    table = tables.fields(name)
    found: dict[str, TensorRange] = {}
    for tensor, pair in tables.object(name).items():
        if not isinstance(pair, list) or len(pair) != 2:
            raise table.wrong(tensor, "it must be [low, high]")
        low, high = pair
        if not isinstance(low, int | float) or not isinstance(high, int | float) or not low <= high:
            raise table.wrong(tensor, "it must be two numbers, the lower first")
        found[tensor] = TensorRange(low=float(low), high=float(high))
    return found

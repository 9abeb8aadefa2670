"""Reads unsigned LEB128 numbers, at most 63 bits."""

from __future__ import annotations

from limosa_contracts.delta.errors import refuse


class VarintReader:
    """Reads numbers one by one; each has one spelling. Raises DeltaRefused."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, *, high: int = 2**62) -> int:
        """The next number, 0 to `high`."""
        value, shift = 0, 0
        while True:
            if self._at >= len(self._data) or shift > 56:
                raise refuse("the table ends within a number, or a number is too long")
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if (byte == 0 and shift > 7) or value > high:
            raise refuse(f"the table holds {value}, at most {high} is possible there")
        return value

    def end(self) -> None:
        if self._at != len(self._data):
            raise refuse("bytes follow the table")

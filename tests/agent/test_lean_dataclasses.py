"""Classes whose methods are shared do what those of `dataclasses` do."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.lean_dataclasses import lean_dataclasses


def _classes() -> list[type]:
    """The same classes, whichever `dataclass` is in force."""
    value = dataclasses.dataclass(frozen=True, slots=True, kw_only=True)

    @value
    class Point:
        x: float
        y: float = 0.0
        note: str = dataclasses.field(default="", compare=False)
        secret: str = dataclasses.field(default="", repr=False, hash=False)

    @value
    class Own:
        x: float

        def __repr__(self) -> str:
            return "mine"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Own)

        def __hash__(self) -> int:
            return 7

    @dataclasses.dataclass(slots=True)
    class Changing:
        x: float

    @dataclasses.dataclass(frozen=True, eq=False, repr=False)
    class Identity:
        x: float

    @dataclasses.dataclass(frozen=True, order=True)
    class Ordered:
        x: float

    return [Point, Own, Changing, Identity, Ordered]


STANDARD = _classes()
with lean_dataclasses():
    LEAN = _classes()
PAIRS = list(zip(STANDARD, LEAN, strict=True))
numbers = st.sampled_from([0.0, 1.0, 2.0])
texts = st.sampled_from(["", "a"])


@given(a=st.tuples(numbers, numbers, texts, texts), b=st.tuples(numbers, numbers, texts, texts))
def test_equality_hash_and_text_are_those_of_dataclasses(
    a: tuple[object, ...], b: tuple[object, ...]
) -> None:
    names = ("x", "y", "note", "secret")
    said = []
    for point in (STANDARD[0], LEAN[0]):
        one, other = (point(**dict(zip(names, values, strict=True))) for values in (a, b))
        said.append((one == other, hash(one), hash(other), repr(one), one == a, dataclasses.asdict(one)))
    assert said[0] == said[1]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].__name__)
def test_options_and_own_methods_count(pair: tuple[type, type]) -> None:
    said = []
    for kind in pair:
        one, other = kind(x=1.0), kind(x=1.0)
        text = "" if kind.__name__ == "Identity" else repr(one)  # that one shows its place in memory
        hashed = None if kind.__hash__ is None else hash(one) == hash(other)
        said.append((one == other, one != other, text, hashed, dataclasses.replace(one) == one))
        if kind.__name__ != "Changing":
            with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
                one.x = 2.0
            with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
                del one.x
    assert said[0] == said[1]


def test_the_standard_decorator_comes_back() -> None:
    before = dataclasses.dataclass
    with lean_dataclasses():
        assert dataclasses.dataclass is not before
    assert dataclasses.dataclass is before


def test_modules_that_are_put_off_are_loaded_when_they_are_asked_for() -> None:
    program = """
import sys
import limosa_agent.run as run
run._load()
assert type(sys.modules["ipaddress"]) is run.Later
from urllib.parse import urlsplit
assert urlsplit("https://[::1]:8443").hostname == "::1"
assert type(sys.modules["ipaddress"]) is not run.Later
from limosa_contracts.cron import Cron
Cron.parse("0 2 29 2 *", where="cron")
import logging
try:
    1 / 0
except ZeroDivisionError:
    logging.exception("with its traceback")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ZeroDivisionError: division by zero" in done.stderr

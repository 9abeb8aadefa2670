"""What changes for those who call a model, from one version's serving.json to the next. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from limosa_contracts.json_value import JsonValue
from limosa_contracts.serving import Serving, TensorSpec

ANY = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """`breaking`: a client of the old version may fail, or be misled, with the new one."""

    what: str
    breaking: bool

    def as_json(self) -> dict[str, JsonValue]:
        return {"what": self.what, "breaking": self.breaking}


def interface_changes(old: Serving, new: Serving) -> tuple[Change, ...]:
    """Inputs, outputs, classes, task and states; empty if a client sees no difference."""
    return (
        *_inputs(_by_name(old.inputs), _by_name(new.inputs)),
        *_outputs(_by_name(old.outputs), _by_name(new.outputs)),
        *_classes(old.classes, new.classes),
        *_meaning(old, new),
    )


def _by_name(specs: tuple[TensorSpec, ...]) -> dict[str, TensorSpec]:
    return {spec.name: spec for spec in specs}


def _inputs(old: Mapping[str, TensorSpec], new: Mapping[str, TensorSpec]) -> Iterator[Change]:
    for name in sorted(old.keys() - new.keys()):
        yield Change(what=f"input {name!r} is gone", breaking=True)
    for name in sorted(new.keys() - old.keys()):
        yield Change(what=f"input {name!r} is new, and must be given", breaking=True)
    for name, was in old.items():
        if (now := new.get(name)) is None:
            continue
        yield from _dtype("input", was, now)
        if was.shape != now.shape:
            takes_less = len(was.shape) != len(now.shape) or any(
                now_size not in (ANY, was_size)
                for was_size, now_size in zip(was.shape, now.shape, strict=True)
            )
            yield Change(what=f"input {name!r}: shape {_shapes(was, now)}", breaking=takes_less)
        if (was.low, was.high) != (now.low, now.high):
            yield Change(
                what=f"input {name!r}: valid from {_range(was)} to {_range(now)}",
                breaking=_narrower(was, now),
            )


def _outputs(old: Mapping[str, TensorSpec], new: Mapping[str, TensorSpec]) -> Iterator[Change]:
    for name in sorted(old.keys() - new.keys()):
        yield Change(what=f"output {name!r} is gone", breaking=True)
    for name in sorted(new.keys() - old.keys()):
        yield Change(what=f"output {name!r} is new", breaking=False)
    for name, was in old.items():
        if (now := new.get(name)) is None:
            continue
        yield from _dtype("output", was, now)
        if was.shape != now.shape:
            gives_other = len(was.shape) != len(now.shape) or any(
                was_size not in (ANY, now_size)
                for was_size, now_size in zip(was.shape, now.shape, strict=True)
            )
            yield Change(what=f"output {name!r}: shape {_shapes(was, now)}", breaking=gives_other)


def _dtype(side: str, was: TensorSpec, now: TensorSpec) -> Iterator[Change]:
    if was.dtype != now.dtype:
        yield Change(what=f"{side} {was.name!r}: {was.dtype} becomes {now.dtype}", breaking=True)


def _classes(old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[Change]:
    """A class more is an answer that a client does not know; one at another place is another answer."""
    if old == new:
        return
    if set(old) == set(new):
        yield Change(what="classes are in another order", breaking=True)
        return
    for name in [name for name in old if name not in new]:
        yield Change(what=f"class {name!r} is gone", breaking=True)
    for name in [name for name in new if name not in old]:
        yield Change(what=f"class {name!r} is new", breaking=True)


def _meaning(old: Serving, new: Serving) -> Iterator[Change]:
    if old.task != new.task:
        yield Change(what=f"task {old.task} becomes {new.task}", breaking=True)
    if old.probabilities != new.probabilities:
        yield Change(
            what=f"probabilities: {old.probabilities or 'none'} becomes {new.probabilities or 'none'}",
            breaking=bool(old.probabilities),
        )
    if old.extra.get("states") != new.extra.get("states"):
        yield Change(what="states that are fed back are others", breaking=True)
    if old.features != new.features:
        yield Change(what="monitored features are others: drift begins anew", breaking=False)


def _narrower(was: TensorSpec, now: TensorSpec) -> bool:
    """Whether a value that was valid no longer is. A range at all also refuses NaN."""
    lower = now.low is not None and (was.low is None or now.low > was.low)
    higher = now.high is not None and (was.high is None or now.high < was.high)
    return lower or higher


def _shapes(was: TensorSpec, now: TensorSpec) -> str:
    return f"{list(was.shape)} becomes {list(now.shape)}"


def _range(spec: TensorSpec) -> str:
    low, high = ("any" if end is None else f"{end:g}" for end in (spec.low, spec.high))
    return f"[{low}, {high}]"

"""A first recipe for a model that nobody has written one for: `limosa init`. Pure.

What the model says about itself is filled in; what only its owner knows stands there as a comment,
with a guess where there is one. The text is a recipe as it stands, once data lies where it says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

SHOWN_MAX: Final = 16  # inputs or outputs that are listed one by one
CHANNELS_OF_PICTURES: Final = (1, 3, 4)
PIXELS_MIN: Final = 16  # a smaller square is rather a window of a signal
_STATE_WORDS: Final = ("state", "hidden", "cell", "cache", "memory")
_STATE_NAMES: Final = ("h", "c", "h0", "c0", "hx", "cx", "hn", "cn")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorFacts:
    """One input or output; `shape` holds -1 or a name where an axis is free."""

    name: str
    dtype: str  # as the Open Inference Protocol names it
    shape: tuple[int | str, ...]

    @property
    def text(self) -> str:
        return f"{self.dtype} [{', '.join(str(size) for size in self.shape)}]"

    @property
    def is_text(self) -> bool:
        return self.dtype == "BYTES"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What `limosa init` could read off a model."""

    file: str
    format: str  # onnx, tflite
    producer: str
    opset: int  # 0: not an ONNX model
    nodes: int
    size: int  # bytes
    quantized: bool
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """Arrays of an evaluation file: name -> number of axes, and which could be the label."""

    evaluation: str
    calibration: str
    label: str
    slices: tuple[str, ...]


def draft_recipe(
    model: ModelFacts, *, name: str, version: str, targets: Sequence[str], data: DataFacts
) -> str:
    """The text of a `limosa.toml`."""
    parts = [
        _head(model, name, version, targets),
        _data(model, data),
        _metric(model),
        _GATE,
        _search(model),
        *_inputs(model),
        _processing(model),
        _ABOUT,
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def state_pairs(model: ModelFacts) -> tuple[tuple[str, str], ...]:
    """(input, output) that look like a recurrent state: alike in type and rank, and named like one.

    >>> fact = lambda name: TensorFacts(name=name, dtype="FP32", shape=(2, "N", 128))
    >>> pair = dict(file="", format="onnx", producer="", opset=17, nodes=1, size=1, quantized=False)
    >>> state_pairs(ModelFacts(inputs=(fact("state"),), outputs=(fact("stateN"),), **pair))
    (('state', 'stateN'),)
    """
    found: list[tuple[str, str]] = []
    free = [item for item in model.outputs if _named_like_state(item.name)]
    for item in model.inputs:
        if not _named_like_state(item.name):
            continue
        fitting = [out for out in free if out.dtype == item.dtype and len(out.shape) == len(item.shape)]
        if fitting:
            best = max(fitting, key=lambda out: (_common_prefix(out.name, item.name), -free.index(out)))
            free.remove(best)
            found.append((item.name, best.name))
    return tuple(found)


def picture_input(model: ModelFacts) -> tuple[str, str, int, int, int] | None:
    """(input, layout, channels, height, width) if one looks like a batch of pictures; 0 is a free size."""
    for item in model.inputs:
        if item.dtype not in ("FP32", "FP16", "UINT8", "INT8") or len(item.shape) != 4:
            continue
        for layout, at in (("NCHW", 1), ("NHWC", 3)):
            sizes = item.shape[2:] if layout == "NCHW" else item.shape[1:3]
            height, width = (size if isinstance(size, int) and size > 0 else 0 for size in sizes)
            if item.shape[at] in CHANNELS_OF_PICTURES and all(
                size == 0 or size >= PIXELS_MIN for size in (height, width)
            ):
                return item.name, layout, int(item.shape[at]), height, width
    return None


def _head(model: ModelFacts, name: str, version: str, targets: Sequence[str]) -> str:
    came = f"{model.size:,} bytes, {model.nodes:,} nodes"
    if model.opset:
        came += f", opset {model.opset}"
    if model.producer:
        came += f", by {model.producer}"
    lines = [
        "# The recipe of a build: limosa build limosa.toml",
        f"# {_comment(model.file)}: {_comment(came)}",
        *_listed("in", model.inputs),
        *_listed("out", model.outputs),
    ]
    if model.quantized:
        lines.append("# It is quantized already: it is shipped as it is, if it meets the gate.")
    lines += [
        "",
        _noted(f"name = {_quoted(name)}", "team/model; the team's key signs it"),
        _noted(f"version = {_quoted(version)}", "a published version never changes"),
        f"model = {_quoted(model.file)}",
        _noted(f"targets = [{', '.join(_quoted(target) for target in targets)}]", "limosa target list"),
        _noted('# prefer = "size"', 'or "latency", "accuracy": decides between what passes the gate'),
    ]
    classes = _class_count(model)
    if classes:
        lines.append(
            f'# classes = ["…", "…"]          # names of the {classes} classes, in the output\'s order'
        )
    return "\n".join(lines)


def _data(model: ModelFacts, data: DataFacts) -> str:
    states = dict(state_pairs(model))
    asked = [item for item in model.inputs if item.name not in states and (item.shape or item.is_text)]
    arrays = ", ".join(item.name for item in asked[:SHOWN_MAX])
    slices = ", ".join(_quoted(item) for item in data.slices) or '"site"'
    return "\n".join(
        [
            "[data]",
            '# .npz, a folder of .npy, .csv, .parquet, or "python:package.module:function".',
            f"# One array per input ({_comment(arrays)}), one row per case, raw as the device gets it.",
            _noted(f"calibration = {_quoted(data.calibration)}", "100 to 500 typical rows, without labels"),
            _noted(f"evaluation = {_quoted(data.evaluation)}", "500 or more labelled rows, new to the model"),
            f"label = {_quoted(data.label)}",
            _noted(f"# slices = [{slices}]", "columns by whose values it is measured too"),
        ]
    )


def _metric(model: ModelFacts) -> str:
    output = model.outputs[0].name if model.outputs else ""
    classes = _class_count(model)
    name = "accuracy" if classes else "cosine"
    why = (
        f"output {output} looks like scores of {classes} classes"
        if classes
        else "agreement with fp32, which needs no labels; better is the metric that your users feel"
    )
    others = 'macro_f1, top5, map, rmse, cer, wer, cosine, sqnr, "python:package.module:function"'
    return "\n".join(
        [
            "[metric]",
            _noted(f"name = {_quoted(name)}", why),
            f"# others: {others}",
            f"# output = {_quoted(output)}",
            _noted("# tune_share = 0.6", "of the rows; the rest is holdout, and only confirms the choice"),
        ]
    )


_GATE: Final = """\
[gate]                          # what a variant must hold, or the build fails
max_loss_points = 1.0           # that it may lose against fp32
# min_metric = 0.9
# max_slice_loss_points = 2.0
# max_size_bytes = 1_000_000
# max_latency_ratio = 1.0       # of fp32's time"""

_ABOUT: Final = """\
[about]                         # goes into the artifact and its model card
# title = "…"
# description = "…"
# authors = ["…"]
# licenses = ["Apache-2.0"]

[lineage]                       # goes into the artifact too: what would you ask in a year?
# run = "…"                     # training run"""


def _search(model: ModelFacts) -> str:
    if model.quantized:
        return ""
    return "\n".join(
        [
            _noted("# [search]", "which variants are tried; without it, those that pay on the targets"),
            '# rungs = ["fp16", "int8", "sensitivity"]',
        ]
    )


def _inputs(model: ModelFacts) -> list[str]:
    states = dict(state_pairs(model))
    parts: list[str] = []
    for item in model.inputs[:SHOWN_MAX]:
        lines = [_noted(f"[inputs.{_quoted(item.name)}]", item.text)]
        if item.name in states:
            fed = f"state_from = {_quoted(states[item.name])}"
            lines.append(_noted(fed, "recurrent: fed from the step before"))
        elif not item.shape and not item.is_text:
            lines.append(
                "# value = 16000                # a setting rather than data? Then it becomes a constant"
            )
        else:
            lines += _notes_on(item)
        parts.append("\n".join(lines))
    return parts


def _notes_on(item: TensorFacts) -> list[str]:
    lines: list[str] = []
    if any(not isinstance(size, int) or size < 0 for size in item.shape[1:]):
        known = [-1, *(size if isinstance(size, int) else -1 for size in item.shape[1:])]
        lines.append(_noted(f"# shape = {known}", "a number instead of -1 fixes a free axis"))
    if item.is_text:
        return [*lines, _noted('# columns = ["…"]', "of a table that make this input")]
    channels = item.shape[1] if len(item.shape) > 1 else 0
    if isinstance(channels, int) and 1 < channels <= 64:
        lines.append(_noted('# channels = ["…"]', f"{channels} names, for drift reports"))
    lines.append(_noted("# low = 0.0", "a device refuses values outside, and counts them"))
    lines.append("# high = 1.0")
    return lines


def _processing(model: ModelFacts) -> str:
    picture = picture_input(model)
    if picture is None:
        return "\n".join(
            [
                "# What training did to the data first can become part of the model (limosa-toml, steps):",
                "# [[preprocess]]",
                f"# input = {_quoted(model.inputs[0].name if model.inputs else 'x')}",
                '# step = "normalize"',
                "# mean = [0.0]",
                "# std = [1.0]",
            ]
        )
    name, layout, channels, height, width = picture
    lines = [
        f"# Input {_comment(name)} looks like pictures ({layout}, {channels} channels).",
        "# What training did to them can become part of the model: calibration and evaluation then hold",
        "# pictures as a camera gives them, uint8 [N, height, width, channels], and so do applications.",
    ]
    for step in _picture_steps(model, name, layout, (height or 224, width or 224)):
        lines += ["# [[preprocess]]", f"# input = {_quoted(name)}", *(f"# {line}" for line in step), "#"]
    return "\n".join(lines[:-1])


def _picture_steps(
    model: ModelFacts, name: str, layout: str, size: tuple[int, int]
) -> Iterator[tuple[str, ...]]:
    """From pixels, channels last, to what the model takes; the lines of each step."""
    yield 'step = "resize"', f"height = {size[0]}", f"width = {size[1]}"
    dtype = next(item.dtype for item in model.inputs if item.name == name)
    if dtype in ("FP32", "FP16"):
        yield 'step = "cast"', f'to = "float{dtype[2:]}"'
        yield 'step = "scale"', 'divisor = 255 # or step = "normalize" with mean and std of training'
    elif dtype == "INT8":
        yield 'step = "cast"', 'to = "int8"'
    if layout == "NCHW":
        yield ('step = "layout"',)


def _listed(way: str, items: Sequence[TensorFacts]) -> list[str]:
    lines = [f"#   {way:<4}{_comment(item.name)}  {_comment(item.text)}" for item in items[:SHOWN_MAX]]
    if len(items) > SHOWN_MAX:
        lines.append(f"#   and {len(items) - SHOWN_MAX} more")
    return lines


def _class_count(model: ModelFacts) -> int:
    """K of a first output [N, K] of floats; 0 where it is something else."""
    if not model.outputs:
        return 0
    shape = model.outputs[0].shape
    last = shape[-1] if len(shape) == 2 else 0
    return last if isinstance(last, int) and last > 1 and model.outputs[0].dtype in ("FP32", "FP16") else 0


def _named_like_state(name: str) -> bool:
    low = name.lower()
    first = low.partition("_")[0]  # h_next, c_out
    return first in _STATE_NAMES or any(word in low for word in _STATE_WORDS)


def _common_prefix(first: str, second: str) -> int:
    """Length in letters."""
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _noted(line: str, note: str) -> str:
    return f"{line:<31} # {_comment(note)}"


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are TOML's, but for DEL.

    >>> _quoted('a"b')
    '"a\\\\"b"'
    """
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    """One line, whatever a hostile model is called."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]

"""`serving.json`: what a device must know to serve one variant (compiler 6.1, agent 5.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import MODEL, check_version

SCHEMA: Final = "limosa.serving/1"
FILE: Final = "serving.json"
MODEL_FILE: Final = "model.onnx"
LABELS_FILE: Final = "labels.json"
BASELINE_FILE: Final = "baseline.json"
GOLDEN_FILE: Final = "golden.safetensors"
"""Tensors `input.<name>` and `output.<name>`; each has the same first dimension, one row a case."""
DTYPES: Final = (
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
)
"""As in the Open Inference Protocol."""
NUMPY_OF_DTYPE: Final = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
}
CATEGORIES_MAX: Final = 4096
TASKS: Final = ("classification", "regression", "other")
SOURCES: Final = ("input", "output")
CHANNELS_FIRST: Final = 1
CHANNELS_LAST: Final = -1
REDUCTIONS: Final = ("value", "mean", "std", "min", "max", "top", "entropy", "margin")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output. -1 in `shape` is a dynamic dimension; the first is the batch if so."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    low: float | None = None  # inputs only: values outside are refused, as is NaN when set
    high: float | None = None
    categories: tuple[str, ...] = ()  # inputs of BYTES only: other texts are refused; (): any text is taken
    extra: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        """Raises InvalidField."""
        fields = Fields(value, where=where)
        dtype = fields.choice("dtype", DTYPES)
        categories = fields.texts("categories", max_items=CATEGORIES_MAX) if fields.has("categories") else ()
        if categories and dtype != "BYTES":
            raise InvalidField(
                "only texts have categories", where=f"{where}.categories", why=f"dtype {dtype}"
            )
        return cls(
            name=fields.text("name", max_chars=256),
            dtype=dtype,
            shape=fields.integers("shape", low=-1, max_items=16),
            low=fields.maybe("low", fields.number),
            high=fields.maybe("high", fields.number),
            categories=categories,
            extra=fields.rest(),
        )

    def as_json(self) -> dict[str, JsonValue]:
        said: dict[str, JsonValue] = {"categories": list(self.categories)} if self.categories else {}
        return {
            **self.extra,
            **said,
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "low": self.low,
            "high": self.high,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """One monitored scalar per inference (telemetry 1.3).

    `source` names an input or output tensor [N, C, ...], or [N, ..., C] where `axis` is -1; `channel` picks
    C (-1: all of the row);
    `reduce` folds what is left: value (needs a single element), mean, std, min, max, and for
    probabilities [N, K]: top (largest), entropy (nats), margin (largest minus second).
    """

    name: str
    kind: str  # "input" | "output"
    tensor: str
    channel: int
    reduce: str
    axis: int = CHANNELS_FIRST

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        return cls(
            name=fields.text("name", max_chars=128),
            kind=fields.choice("kind", SOURCES),
            tensor=fields.text("tensor", max_chars=256),
            channel=fields.integer("channel", low=-1, high=1_000_000),
            reduce=fields.choice("reduce", REDUCTIONS),
            axis=fields.optional("axis", lambda name: _axis(fields, name), CHANNELS_FIRST),
        )

    def as_json(self) -> dict[str, JsonValue]:
        said: dict[str, JsonValue] = {} if self.axis == CHANNELS_FIRST else {"axis": self.axis}
        return {
            **said,
            "name": self.name,
            "kind": self.kind,
            "tensor": self.tensor,
            "channel": self.channel,
            "reduce": self.reduce,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """Golden vectors hold when |got - expected| <= absolute + relative * |expected|, per element.

    `outputs` has the absolute tolerance of outputs that differ in size from the largest. Texts must be equal.
    """

    cases: int
    absolute: float
    relative: float
    outputs: Mapping[str, float] = field(default_factory=dict)

    def absolute_of(self, output: str) -> float:
        return self.outputs.get(output, self.absolute)

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        return cls(
            cases=fields.integer("cases", low=1, high=65536),
            absolute=fields.number("absolute", low=0, high=1e6),
            relative=fields.number("relative", low=0, high=1),
            outputs=fields.optional("outputs", lambda n: _tolerances(fields.fields(n), fields.object(n)), {}),
        )

    def as_json(self) -> dict[str, JsonValue]:
        said: dict[str, JsonValue] = {
            "cases": self.cases,
            "absolute": self.absolute,
            "relative": self.relative,
        }
        return said | {"outputs": dict(self.outputs)} if self.outputs else said


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """`probabilities` names the output [N, K] whose row sums to one; "" if there is none."""

    model: str
    version: str
    variant: str
    precision: str  # fp32, int8, ...
    runtime: str  # onnxruntime, litert
    runtime_tested: str  # the version on which golden vectors passed
    model_file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    task: str
    probabilities: str
    classes: tuple[str, ...]
    features: tuple[FeatureSpec, ...]
    golden: Golden
    extra: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge."""
        fields = Fields(parse_object(data, what=FILE, max_bytes=LIMITS.document_max_bytes), where="serving")
        fields.schema(SCHEMA)
        serving = cls(
            model=fields.text("model", pattern=MODEL),
            version=check_version(fields.text("version")),
            variant=fields.text("variant", max_chars=128),
            precision=fields.text("precision", max_chars=64),
            runtime=fields.text("runtime", max_chars=64),
            runtime_tested=fields.text("runtime_tested", max_chars=64),
            model_file=fields.text("model_file", max_chars=128),
            inputs=_tensors(fields, "inputs"),
            outputs=_tensors(fields, "outputs"),
            task=fields.choice("task", TASKS),
            probabilities=fields.text("probabilities", max_chars=256, empty=True),
            classes=fields.texts("classes", max_items=LIMITS.classes_max),
            features=tuple(
                FeatureSpec.parse(item, where=place)
                for place, item in fields.items("features", max_items=LIMITS.features_max)
            ),
            golden=Golden.parse(fields.fields("golden")),
            extra=fields.rest(),
        )
        serving.check()
        return serving

    def check(self) -> None:
        """Raises InvalidField if names do not agree with each other."""
        inputs, outputs = ({spec.name for spec in specs} for specs in (self.inputs, self.outputs))
        if not inputs or not outputs:
            raise InvalidField("a model needs at least one input and one output", where="serving")
        if self.probabilities and self.probabilities not in outputs:
            raise InvalidField(f"{self.probabilities!r} is no output", where="serving.probabilities")
        for feature in self.features:
            if feature.tensor not in (inputs if feature.kind == "input" else outputs):
                raise InvalidField(
                    f"feature {feature.name!r} names no {feature.kind}", where="serving.features"
                )
        if len({feature.name for feature in self.features}) != len(self.features):
            raise InvalidField("a feature occurs twice", where="serving.features")

    def encode(self) -> bytes:
        return encode_canonical(
            {
                **self.extra,
                "schema": SCHEMA,
                "model": self.model,
                "version": self.version,
                "variant": self.variant,
                "precision": self.precision,
                "runtime": self.runtime,
                "runtime_tested": self.runtime_tested,
                "model_file": self.model_file,
                "inputs": [spec.as_json() for spec in self.inputs],
                "outputs": [spec.as_json() for spec in self.outputs],
                "task": self.task,
                "probabilities": self.probabilities,
                "classes": list(self.classes),
                "features": [feature.as_json() for feature in self.features],
                "golden": self.golden.as_json(),
            }
        )


def _axis(fields: Fields, name: str) -> int:
    axis = fields.integer(name, low=CHANNELS_LAST, high=CHANNELS_FIRST)
    if not axis:
        raise fields.wrong(name, "0 is the batch; channels are on axis 1 or -1")
    return axis


def _tolerances(fields: Fields, value: JsonObject) -> dict[str, float]:
    return {name: fields.number(name, low=0, high=1e6) for name in value}


def _tensors(fields: Fields, name: str) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec.parse(item, where=place) for place, item in fields.items(name, max_items=64))

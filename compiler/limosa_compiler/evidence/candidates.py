"""How candidates and choices stand in the evidence. What was not measured is left out, as it was of old."""

from __future__ import annotations

from collections.abc import Mapping

from limosa_compiler.choice.choose import Choice, Verdict
from limosa_compiler.measuring.measure import Latency, Measured, Pruned, Score
from limosa_compiler.search.candidate import ONNXRUNTIME
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import DIGEST


def candidate_json(item: Measured) -> dict[str, JsonValue]:
    said: dict[str, JsonValue] = {
        **_head(item),
        "tune": item.tune.as_json(),
        "holdout": item.holdout.as_json(),
        "latency": item.latency.as_json(),
    }
    if item.memory_bytes is not None:
        said["memory_bytes"] = item.memory_bytes
    if item.load_ms is not None:
        said["load_ms"] = item.load_ms
    for name, slices in (("tune_slices", item.tune_slices), ("holdout_slices", item.holdout_slices)):
        if slices:
            said[name] = {key: score.as_json() for key, score in slices.items()}
    return said


def parse_candidate(value: JsonValue, /, *, where: str) -> Measured:
    """Raises InvalidField."""
    fields = Fields(value, where=where)
    return Measured(
        name=fields.text("name", max_chars=128),
        precision=fields.text("precision", max_chars=64),
        size=fields.integer("size_bytes", low=0),
        digest=fields.text("model_digest", pattern=DIGEST),
        structure=fields.text("structure", pattern=DIGEST),
        tune=Score.parse(fields.fields("tune")),
        holdout=Score.parse(fields.fields("holdout")),
        latency=Latency.parse(fields.fields("latency")),
        memory_bytes=fields.maybe("memory_bytes", lambda n: fields.integer(n, low=0)),
        load_ms=fields.maybe("load_ms", lambda n: fields.number(n, low=0)),
        tune_slices=_slices(fields, "tune_slices"),
        holdout_slices=_slices(fields, "holdout_slices"),
        runtime=_runtime(fields),
    )


def pruned_json(item: Pruned) -> dict[str, JsonValue]:
    said: dict[str, JsonValue] = {**_head(item), "reason": item.reason}
    return said if item.tune is None else said | {"tune": item.tune.as_json()}


def parse_pruned(value: JsonValue, /, *, where: str) -> Pruned:
    """Raises InvalidField."""
    fields = Fields(value, where=where)
    return Pruned(
        name=fields.text("name", max_chars=128),
        precision=fields.text("precision", max_chars=64),
        size=fields.integer("size_bytes", low=0),
        digest=fields.text("model_digest", pattern=DIGEST),
        structure=fields.text("structure", pattern=DIGEST),
        reason=fields.text("reason", max_chars=1000),
        tune=fields.maybe("tune", lambda n: Score.parse(fields.fields(n))),
        runtime=_runtime(fields),
    )


def choice_json(choice: Choice) -> dict[str, JsonValue]:
    said: dict[str, JsonValue] = {
        "target": choice.target,
        "chosen": choice.chosen,
        "verdicts": [verdict.as_json() for verdict in choice.verdicts],
    }
    return said | {"holdout_looks": choice.holdout_looks} if choice.holdout_looks else said


def parse_choice(value: JsonValue, /, *, where: str) -> Choice:
    """Raises InvalidField."""
    fields = Fields(value, where=where)
    return Choice(
        target=fields.text("target"),
        verdicts=tuple(Verdict.parse(item, where=place) for place, item in fields.items("verdicts")),
        holdout_looks=fields.optional("holdout_looks", lambda n: fields.integer(n, low=0), 0),
    )


def _head(item: Measured | Pruned) -> dict[str, JsonValue]:
    said: dict[str, JsonValue] = {
        "name": item.name,
        "precision": item.precision,
        "size_bytes": item.size,
        "model_digest": item.digest,
        "structure": item.structure,
    }
    return said if item.runtime == ONNXRUNTIME else said | {"runtime": item.runtime}


def _runtime(fields: Fields) -> str:
    return fields.optional("runtime", lambda n: fields.text(n, max_chars=64), ONNXRUNTIME)


def _slices(fields: Fields, name: str) -> Mapping[str, Score]:
    def read(key: str) -> Mapping[str, Score]:
        table = fields.fields(key)
        return {slice_name: Score.parse(table.fields(slice_name)) for slice_name in fields.object(key)}

    nothing: Mapping[str, Score] = {}
    return fields.optional(name, read, nothing)

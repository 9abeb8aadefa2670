"""Model card and bill of materials: what repeats, and nothing that does not."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.resources import files
from typing import Any

import jsonschema_rs
import pytest

from limosa_compiler.artifact.package import media_type_of
from limosa_compiler.artifact.release_facts import BOM_FILE, CARD_FILE, ReleaseFacts
from limosa_compiler.recipe.about import descriptor_of
from limosa_compiler.report.bom import make_bom
from limosa_compiler.report.card import make_card, plain
from limosa_contracts.oci import DOC
from tests.compiler.report.facts import release_facts


def schema(name: str) -> Any:
    return json.loads((files("cyclonedx.schema") / "_res" / name).read_text())


def check(document: Any) -> None:
    """By the official schema, which a package ships: no network. Raises ValidationError."""
    others = {
        f"http://cyclonedx.org/schema/{name}": schema(name)
        for name in ("spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json")
    }
    whole = schema("bom-1.6.SNAPSHOT.schema.json")
    jsonschema_rs.validator_for(
        whole, registry=jsonschema_rs.Registry(list(others.items())), validate_formats=True
    ).validate(document)


def bare() -> ReleaseFacts:
    """A recipe that says nothing but what it must."""
    return replace(release_facts(), about={}, lineage={}, classes=(), warnings=())


@pytest.mark.parametrize("facts", [release_facts(), bare()])
def test_bill_of_materials_holds_by_the_official_schema(facts: ReleaseFacts) -> None:
    check(json.loads(make_bom(facts)))


def test_schema_is_really_asked() -> None:
    document = json.loads(make_bom(release_facts()))
    document["components"][0]["type"] = "neural"
    with pytest.raises(jsonschema_rs.ValidationError):
        check(document)


def test_bill_of_materials_names_models_data_and_tools_by_digest() -> None:
    facts = release_facts()
    document = json.loads(make_bom(facts))
    (item, targets) = next(iter(facts.candidates().values()))
    model = next(part for part in document["components"] if part["bom-ref"] == f"candidate-{item.name}")
    assert model["hashes"] == [{"alg": "SHA-256", "content": item.digest.removeprefix("sha256:")}]
    assert {"name": "limosa:targets", "value": ",".join(targets)} in model["properties"]
    data = {
        part["name"]: part["hashes"][0]["content"]
        for part in document["components"]
        if part["type"] == "data"
    }
    assert data == {"calibration": "c" * 64, "evaluation": "b" * 64, "dataset": "a" * 64}
    assert document["metadata"]["component"]["licenses"] == [
        {"license": {"id": "Apache-2.0"}},
        {"license": {"name": "My own"}},
    ]
    assert {tool["name"] for tool in document["metadata"]["tools"]["components"]} == {"limosa", "onnx"}


def test_neither_says_when_or_how_fast_and_both_repeat() -> None:
    for make in (make_card, make_bom):
        data = make(release_facts())
        assert data == make(release_facts())
        assert b"latency" not in data
        assert b"timestamp" not in data
        other = replace(release_facts(), metric="macro_f1")
        assert make(other) != data
    serial = json.loads(make_bom(release_facts()))["serialNumber"]
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", serial)
    assert serial != json.loads(make_bom(bare()))["serialNumber"]


def test_time_that_was_measured_changes_neither() -> None:
    facts = release_facts()
    slow = replace(facts.reference.latency, median_us=9e6)
    slower = replace(
        facts,
        reference=replace(facts.reference, latency=slow),
        chosen={target: replace(item, latency=slow, load_ms=3.0) for target, item in facts.chosen.items()},
    )
    assert make_card(slower) == make_card(facts)
    assert make_bom(slower) == make_bom(facts)


def test_card_says_use_limits_data_metrics_and_licence() -> None:
    card = make_card(release_facts()).decode()
    for said in (
        "Exercise counting.",
        "Not for medicine.",
        "Seven exercises of ten people.",
        "Apache-2.0, My own",
        "only 150 holdout rows",
        "| rpi4 |",
        "person=2",
        "2026-11-20-a",
    ):
        assert said in card, said
    assert "The recipe does not say." in make_card(bare()).decode()
    assert "<script" not in card


def test_tables_of_the_card_keep_their_columns_whatever_names_say() -> None:
    for block in make_card(release_facts()).decode().split("\n\n"):
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1, block
    assert plain("a\nb") == "a b"


def test_both_are_documents_of_the_artifact_and_not_part_of_the_model() -> None:
    assert {media_type_of(name, model_file="model.onnx") for name in (CARD_FILE, BOM_FILE)} == {DOC}
    assert "limits" not in descriptor_of(release_facts().about)
    assert descriptor_of(release_facts().about)["vendor"] == "Demo"

"""What is tried for which devices."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limosa_compiler.recipe.search import SearchNotes
from limosa_compiler.search.strategies import saturates, strategy_for, unfit
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject
from limosa_contracts.profiles import load_profiles

KNOWN = load_profiles()
DEFAULT = SearchNotes()


def names(*targets: str, notes: SearchNotes = DEFAULT) -> set[str]:
    return {rung.name for rung in strategy_for([KNOWN[target] for target in targets], notes).rungs}


def test_x86_without_vnni_gets_weights_of_seven_bits_and_nothing_else_of_int8() -> None:
    """Products of U8 and 8-bit weights are added in saturating 16 bits there."""
    assert saturates(KNOWN["generic-x86-64"])
    made = names("generic-x86-64")
    assert "int8-7bit-core-mse" in made
    assert all("7bit" in name for name in made if name.startswith("int8"))


@pytest.mark.parametrize("target", ["generic-x86-64-vnni", "rpi4", "rpi5"])
def test_others_get_eight_bits(target: str) -> None:
    assert not saturates(KNOWN[target])
    made = names(target)
    assert {"int8-minmax", "int8-p99.999", "int8-p99.9", "int8-mse"} <= made
    assert not any("7bit" in name for name in made)


def test_targets_together_get_what_each_needs() -> None:
    assert names("generic-x86-64", "rpi4") == names("generic-x86-64") | names("rpi4")


def test_eight_bit_candidate_is_unfit_where_it_would_overflow() -> None:
    eight, seven = ({"weight_bits": bits} for bits in (8, 7))
    assert "VNNI" in unfit(eight, KNOWN["generic-x86-64"])
    assert unfit(seven, KNOWN["generic-x86-64"]) == ""
    assert unfit(eight, KNOWN["rpi4"]) == ""
    assert unfit({"rung": "fp32"}, KNOWN["generic-x86-64"]) == ""


def test_precisions_that_no_target_takes_are_not_tried() -> None:
    assert "fp16" in names("rpi5")
    assert "fp16" not in names("rpi4")
    fp32_only = replace(KNOWN["rpi4"], precisions=("fp32",))
    strategy = strategy_for([fp32_only], DEFAULT)
    assert strategy.rungs == ()
    assert not strategy.searches


def test_four_bit_weights_are_tried_where_they_are_multiplied_faster_than_floats() -> None:
    for name, profile in KNOWN.items():
        arm = profile.architectures == ("aarch64",) and name != "coral"
        assert ("int4" in names(name)) is arm, name


def test_recipe_may_name_the_rungs() -> None:
    notes = SearchNotes.parse(Fields({"rungs": ["int8-dynamic"], "float_nodes_max": 3}, where="search"))
    assert names("rpi4", notes=notes) == {"int8-dynamic"}
    assert not strategy_for([KNOWN["rpi4"]], notes).searches
    assert strategy_for([KNOWN["rpi4"]], DEFAULT).searches
    assert not strategy_for([KNOWN["rpi4"]], replace(DEFAULT, float_nodes_max=0)).searches


@pytest.mark.parametrize(
    "block",
    [
        {"rungs": ["int9"]},
        {"rungs": ["int8", "int8"]},
        {"float_nodes_max": -1},
        {"cache": "no"},
        {"rung": ["int8"]},
    ],
)
def test_search_block_is_strict(block: JsonObject) -> None:
    with pytest.raises(InvalidField):
        SearchNotes.parse(Fields(block, where="search"))

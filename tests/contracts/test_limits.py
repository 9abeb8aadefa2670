"""At each limit: what is exactly as much as is allowed is taken, and one more is not (trust 7.3)."""

from __future__ import annotations

import math

import pytest

from limosa_contracts.canonical import encode_canonical, parse_json
from limosa_contracts.desired import DesiredState
from limosa_contracts.duration import LONGEST_S, parse_duration
from limosa_contracts.errors import InvalidField, InvalidJson, InvalidSelector, TooLarge
from limosa_contracts.fields import Fields
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_contracts.selector import REQUIREMENTS_MAX, SELECTOR_MAX_CHARS, Operator, Requirement, Selector


def spec(**fields: object) -> RolloutSpec:
    return RolloutSpec.parse({"release": "demo/motion@2.0.0", "group": "all", **fields})  # type: ignore[dict-item]  # tests write plain literals


def test_depth_of_a_document() -> None:
    """Brackets within a text are no depth; those of a sibling are none either."""
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        deep = opening * 4 + b"1" + closing * 4
        parse_json(deep, max_depth=4)
        with pytest.raises(InvalidJson, match="nested too deeply"):
            parse_json(deep, max_depth=3)
    parse_json(b'["[[[[[[[", [[[1]]], [[[2]]], "\\"[[[[["]', max_depth=4)


def test_bytes_of_a_document() -> None:
    parse_json(b"[1,2]", max_bytes=5)
    with pytest.raises(TooLarge):
        parse_json(b"[1,2]", max_bytes=4)


def test_fields_of_a_document() -> None:
    fields = Fields({"text": "abc", "list": [0, 5], "number": 1.0, "huge": 10**400}, where="doc")
    assert fields.text("text", max_chars=3) == "abc"
    with pytest.raises(InvalidField):
        fields.text("text", max_chars=2)
    assert len(list(fields.items("list", max_items=2))) == 2
    with pytest.raises(InvalidField):
        fields.items("list", max_items=1)
    assert fields.integers("list", low=0) == (0, 5)
    with pytest.raises(InvalidField, match="whole number"):
        fields.integers("list", low=1)
    with pytest.raises(InvalidField):
        fields.number("huge")
    for absurd in (math.inf, -math.inf, math.nan):
        with pytest.raises(InvalidField):
            Fields({"x": absurd}, where="doc").number("x")


def test_parts_and_characters_of_a_selector() -> None:
    assert len(Selector.parse(",".join(["a"] * REQUIREMENTS_MAX)).requirements) == REQUIREMENTS_MAX
    with pytest.raises(InvalidSelector, match="too many parts"):
        Selector.parse(",".join(["a"] * (REQUIREMENTS_MAX + 1)))
    Selector.parse("a" + " " * (SELECTOR_MAX_CHARS - 1))
    with pytest.raises(InvalidSelector, match="too long"):
        Selector.parse("a" + " " * SELECTOR_MAX_CHARS)


def test_a_label_with_an_empty_value_is_not_one_that_is_missing() -> None:
    """Kubernetes' grammar: `notin` holds where there is no such label."""
    assert Selector.parse("tier notin (dev)").matches({})
    assert Selector.parse("tier notin (dev)").matches({"tier": ""})
    filled = Selector.parse("tier").requirements[0], *Selector.parse("tier!=dev").requirements
    assert not Selector(filled).matches({})
    without = Requirement(key="tier", operator=Operator.NOT_IN, values=("", "dev"))
    assert without.holds({})
    assert not without.holds({"tier": ""})


def test_lengths_of_time() -> None:
    assert parse_duration("366d", where="x") == LONGEST_S
    with pytest.raises(InvalidField, match="too long"):
        parse_duration("366.001d", where="x")

    def windows(duration: str) -> RolloutSpec:
        return spec(schedule={"maintenance_windows": [{"cron": "0 2 * * *", "duration": duration}]})

    for length, fits in (("1m", True), ("59s", False), ("7d", True), ("7.001d", False)):
        if fits:
            assert windows(length).schedule.windows is not None
        else:
            with pytest.raises(InvalidField):
                windows(length)


def test_a_wave_adds_somebody_to_those_before_it() -> None:
    """`percent` is cumulative: two waves of 10 are one, and an empty one that blocks (rollouts 3.2)."""
    waves = [{"name": "a", "percent": 10}, {"name": "b", "percent": 10.001}, {"name": "c"}]
    assert len(spec(waves=waves).waves) == 3
    with pytest.raises(InvalidField, match="cumulative"):
        spec(waves=[{"name": "a", "percent": 10}, {"name": "b", "percent": 10}, {"name": "c"}])


@pytest.mark.parametrize(
    "modes, fits",
    [
        (("active", "shadow"), True),
        (("absent", "shadow"), True),
        (("active", "absent"), False),
        (("absent", "absent"), False),
        (("active", "active"), False),
    ],
)
def test_a_document_says_one_thing_of_what_answers(modes: tuple[str, str], fits: bool) -> None:
    """A model that shall run and shall not would be installed and removed in turn, for ever (trust 4.1)."""
    entries = [
        {"model": "demo/motion", "version": "1.0.0", "index_sha256": "ab" * 32, "mode": mode}
        for mode in modes
    ]
    document = encode_canonical(
        {
            "schema": "limosa.desired/1", "device": "d", "epoch": 1, "counter": 1, "issued": 1, "expires": 2,
            "models": entries,
        }
    )  # fmt: skip
    if fits:
        assert [model.mode for model in DesiredState.parse(document).models] == list(modes)
    else:
        with pytest.raises(InvalidField, match="twice"):
            DesiredState.parse(document)

"""Whom a plan leaves out for what it is, and what the device itself would say: one rule (agent 2.1,
rollouts 4). A device that the plan leaves out never learns of the release; one that it takes by mistake
refuses it, and is counted as a failure."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.fetch.rules import version_order
from limosa_agent.fetch.variant_choice import Capabilities, unmet
from limosa_contracts.json_value import JsonValue
from limosa_contracts.oci import Requirements
from limosa_server.core.planning.candidates import Candidate, VariantFacts, memo_of
from limosa_server.core.planning.fit import version_numbers, why_not

versions = st.sampled_from(("", "0.9", "1.20", "1.20.0", "1.20.0rc1", "1.20.1", "1.4.0.dev12", "2.0.0"))
names = st.lists(st.sampled_from(("avx2", "fp16", "npu")), unique=True)
requirements = st.builds(
    Requirements,
    architectures=st.lists(st.sampled_from(("x86_64", "aarch64")), unique=True).map(tuple),
    cpu_features=names.map(tuple),
    accelerators=names.map(tuple),
    runtime=st.sampled_from(("onnxruntime", "litert")),
    runtime_min=versions,
    memory_bytes=st.integers(0, 4),
    disk_bytes=st.integers(0, 4),
)
capabilities = st.fixed_dictionaries(
    {
        "arch": st.sampled_from(("x86_64", "aarch64")),
        "cpu_features": names,
        "accelerators": names,
        "runtimes": st.dictionaries(
            st.sampled_from(("onnxruntime", "litert", "tflite")), versions.filter(bool), max_size=3
        ),
        "memory_bytes": st.integers(0, 5),
    }
)


@given(requirements, capabilities, st.integers(1, 5))
def test_a_plan_takes_exactly_the_devices_that_would_take_the_release(
    requires: Requirements, has: dict[str, JsonValue], disk_free_bytes: int
) -> None:
    own = list(unmet(requires, Capabilities.parse(has, disk_free_bytes=disk_free_bytes)))
    planned = why_not(requires, has, {"disk_free_bytes": disk_free_bytes})
    assert bool(planned) == bool(own), (planned, own)


def test_a_board_without_the_accelerator_is_left_out_when_it_is_planned() -> None:
    """It was offered the variant, refused it, and its refusal spoke against the release."""
    said: dict[str, JsonValue] = {"accelerators": ["gpu"]}
    assert why_not(Requirements(accelerators=("npu",)), said, {}) == "it has no npu"
    assert why_not(Requirements(accelerators=("npu",)), {}, {}) == "", "one that never said what it has"


def test_the_older_runtime_stands_for_the_newer_one_in_a_plan_too() -> None:
    """Devices with tflite-runtime run .tflite files, and every plan left them out (agent 5.3)."""
    said: dict[str, JsonValue] = {"runtimes": {"tflite": "2.14.0"}}
    assert why_not(Requirements(runtime="litert"), said, {}) == ""
    assert why_not(Requirements(runtime="litert", runtime_min="1.0.0"), said, {}) == (
        "needs litert 1.0.0, it has 0"
    )


@given(st.lists(st.sampled_from((*"0123456789.", "rc1", ".dev3", "v")), max_size=8).map("".join))
def test_versions_are_ordered_as_on_the_device(text: str) -> None:
    assert version_numbers(text) == version_order(text)


@pytest.mark.parametrize("what", ["memory", "disk"])
def test_exactly_as_much_as_is_needed_is_enough(what: str) -> None:
    requires = Requirements(memory_bytes=100, disk_bytes=100)
    for amount, fits in ((100, True), (99, False)):
        said: dict[str, JsonValue] = {"memory_bytes": amount} if what == "memory" else {}
        free: dict[str, JsonValue] = {"disk_free_bytes": amount} if what == "disk" else {}
        assert (why_not(requires, said, free) == "") == fits


def test_of_devices_that_are_alike_the_one_whose_disk_is_full_is_told_apart() -> None:
    """What was found for one kind of device is used for all of it: free disk is not of the kind. The
    variant that asks for the most decides from which size on it does not matter."""
    json_text = json.dumps({"arch": "x86_64"})
    alike = json.loads(json_text)
    fit = memo_of(
        [
            VariantFacts(name="large", requires=Requirements(disk_bytes=1000), size_bytes=1),
            VariantFacts(name="small", requires=Requirements(disk_bytes=10), size_bytes=1),
        ]
    )

    def place(free: int) -> int | None:
        return fit(Candidate(device="d", capabilities=alike, resources={"disk_free_bytes": free}))[0]

    assert [place(free) for free in (5000, 500, 1000, 999, 5, 10)] == [0, 1, 0, 1, None, 1]


@pytest.mark.parametrize("says", ["9" * 5000, "1." + "9" * 5000, "1.2." + "9" * 5000])
def test_a_device_with_an_endless_version_stops_no_plan(says: str) -> None:
    """One device said so, and nobody could plan a rollout over its group: Python reads no such number."""
    said: dict[str, JsonValue] = {"runtimes": {"litert": says}}
    version_numbers(says)
    assert why_not(Requirements(runtime="litert", runtime_min="0.1.0"), said, {}) == ""
    told = why_not(Requirements(architectures=("x86_64",)), {"arch": says}, {})
    assert len(told) < 100

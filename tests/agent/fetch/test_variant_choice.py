"""Which variant a device takes, and what it says when it takes none (agent 2.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.fetch.errors import AgentTooOld, NoFittingVariant, VersionRolledBack
from limosa_agent.fetch.rate_guard import RateMeter
from limosa_agent.fetch.rules import check_agent, check_not_rolled_back, version_order
from limosa_agent.fetch.variant_choice import Capabilities, choose_variant, unmet
from limosa_contracts.errors import InvalidArtifact
from limosa_contracts.names import ReleaseName
from limosa_contracts.oci import (
    MANIFEST,
    REQUIRES_ANNOTATION,
    VARIANT_ANNOTATION,
    Descriptor,
    ImageIndex,
    Requirements,
)
from limosa_contracts.release import ReleaseCustom

DEVICE = Capabilities(
    arch="aarch64",
    cpu_features=frozenset({"asimd", "dotprod"}),
    runtimes={"onnxruntime": "1.20.1"},
    memory_bytes=1000,
    disk_free_bytes=1000,
)
NAME = ReleaseName.parse("demo/motion@1.0.0")


def index_of(*variants: Requirements) -> ImageIndex:
    return ImageIndex(
        manifests=tuple(
            Descriptor.of(
                b"%d" % i,
                media_type=MANIFEST,
                annotations={VARIANT_ANNOTATION: f"v{i}", REQUIRES_ANNOTATION: requirements.encode()},
            )
            for i, requirements in enumerate(variants)
        )
    )


@pytest.mark.parametrize(
    ("needs", "says"),
    [
        (Requirements(architectures=("x86_64",)), "architecture x86_64"),
        (Requirements(cpu_features=("asimd", "sve")), "CPU features sve"),
        (Requirements(accelerators=("npu",)), "accelerators npu"),
        (Requirements(runtime="litert"), "runtime litert is needed, this device has onnxruntime"),
        (Requirements(runtime_min="1.21"), "onnxruntime 1.21 is needed, this is 1.20.1"),
        (Requirements(memory_bytes=1001), "1001 bytes of memory"),
        (Requirements(disk_bytes=1001), "1001 bytes of disk"),
    ],
)
def test_each_requirement_is_checked_and_named(needs: Requirements, says: str) -> None:
    assert says in next(unmet(needs, DEVICE))
    with pytest.raises(NoFittingVariant) as refused:
        choose_variant(index_of(needs), DEVICE)
    assert says in refused.value.why


def test_the_compilers_order_decides() -> None:
    index = index_of(Requirements(architectures=("x86_64",)), Requirements(disk_bytes=999), Requirements())
    assert choose_variant(index, DEVICE).variant == "v1"


def test_what_could_not_be_measured_stands_in_no_ones_way() -> None:
    blind = replace(DEVICE, memory_bytes=0, disk_free_bytes=0)
    assert choose_variant(index_of(Requirements(memory_bytes=1 << 40)), blind).variant == "v0"


def test_an_index_without_requirements_or_variants_is_refused() -> None:
    bare = ImageIndex(manifests=(Descriptor.of(b"", media_type=MANIFEST),))
    with pytest.raises(InvalidArtifact):
        choose_variant(bare, DEVICE)
    with pytest.raises(NoFittingVariant):
        choose_variant(ImageIndex(manifests=()), DEVICE)


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 2000)), max_size=8))
def test_the_chosen_variant_fits_and_no_earlier_one_does(sizes: list[tuple[int, int]]) -> None:
    needs = [Requirements(memory_bytes=memory, disk_bytes=disk) for memory, disk in sizes]
    fits = [not list(unmet(need, DEVICE)) for need in needs]
    try:
        choice = choose_variant(index_of(*needs), DEVICE)
    except NoFittingVariant:
        assert not any(fits)
    else:
        assert choice.variant == f"v{fits.index(True)}"


@given(st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)))
def test_versions_are_ordered_by_their_numbers(numbers: tuple[int, int, int]) -> None:
    text = ".".join(map(str, numbers))
    assert version_order(text) == version_order(text + "rc1") == numbers
    assert version_order(f"{numbers[0]}") == (numbers[0], 0, 0)


@given(
    offered=st.integers(1, 50), committed=st.integers(0, 50), listed=st.booleans(), permitted=st.booleans()
)
def test_nothing_below_the_committed_counter_without_an_exception(
    offered: int, committed: int, listed: bool, permitted: bool
) -> None:
    allowed = offered >= committed or listed or permitted
    try:
        check_not_rolled_back(
            NAME,
            ReleaseCustom(release_counter=offered),
            committed_counter=committed,
            may_return_to=("1.0.0",) if listed else ("0.9.0",),
            permitted=permitted,
        )
    except VersionRolledBack:
        assert not allowed
    else:
        assert allowed


def test_the_agent_must_be_new_enough() -> None:
    custom = ReleaseCustom(release_counter=1, min_agent="0.10.0")
    check_agent(NAME, custom, agent_version="0.10.0.dev3")
    with pytest.raises(AgentTooOld):
        check_agent(NAME, custom, agent_version="0.9.9")


def test_a_rate_is_measured_over_windows_and_a_budget_over_all() -> None:
    meter = RateMeter(least=10.0, window_s=10.0, budget_s=35.0, started=100.0)
    assert meter.too_slow(total=0, now=109.0) == ""
    assert meter.too_slow(total=100, now=110.0) == ""  # exactly enough
    assert meter.too_slow(total=200, now=120.0) == ""
    assert "50 bytes in 10 s" in meter.too_slow(total=250, now=130.0)
    assert "35 s" in meter.too_slow(total=10_000, now=135.0)


def test_tflite_runtime_stands_for_litert_where_no_version_is_asked_for() -> None:
    """Agent 5.3: where only that exists. Its 2.14 is older than LiteRT 2.0, whatever the numbers say."""
    armv7 = replace(DEVICE, arch="armv7l", runtimes={"tflite": "2.14.0"})
    assert list(unmet(Requirements(runtime="litert"), armv7)) == []
    assert list(unmet(Requirements(runtime="litert", runtime_min="2.0"), armv7)) == [
        "litert 2.0 is needed, this is 0"
    ]
    both = replace(armv7, runtimes={"tflite": "2.14.0", "litert": "2.3.0"})
    assert list(unmet(Requirements(runtime="litert", runtime_min="2.0"), both)) == []

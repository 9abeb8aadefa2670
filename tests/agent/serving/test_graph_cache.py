"""Optimised graphs: made here, bound to what they depend on, gone with their release (agent 5.3)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from limosa_agent.fetch.slots import collect
from limosa_agent.serving import runtime_onnx
from limosa_agent.serving.graph_cache import GraphKey, graph_folder, read_graph, write_graph
from limosa_agent.serving.graph_maker import make_graph
from limosa_agent.serving.limits import SelfTestLimits, ServingLimits
from limosa_agent.serving.loaded_model import LoadedModel
from limosa_agent.serving.pool import ServingPool
from limosa_agent.serving.runtime_options import RuntimeOptions
from limosa_agent.serving.self_test import run_self_test
from limosa_agent.serving.slot_ref import SlotRef
from limosa_contracts.serving import FILE, Serving
from tests.agent.serving.releases import install, motion_plan, spoil_golden, tiny_plan
from tests.support.waiting import wait_until

CACHED = RuntimeOptions(graph_cache=True)


def key_of(slot: SlotRef, options: RuntimeOptions = CACHED) -> GraphKey:
    release = Path(slot.directory)
    key = runtime_onnx.graph_key(release, Serving.parse((release / FILE).read_bytes()), options)
    assert key is not None
    return key


def graph_file(slot: SlotRef) -> Path:
    folder = graph_folder(Path(slot.directory))
    assert folder is not None
    return folder / "onnxruntime.graph"


def try_release(slot: SlotRef, options: RuntimeOptions = CACHED) -> bool:
    return asyncio.run(run_self_test(slot.directory, SelfTestLimits(), options)).ok


@pytest.fixture
def tried(slots: Path) -> SlotRef:
    """A release that has passed its self-test."""
    slot = install(motion_plan("2.0.0"), slots)
    assert try_release(slot)
    return slot


def test_release_that_passes_its_self_test_loads_from_its_graph_and_answers_the_same(tried: SlotRef) -> None:
    release = Path(tried.directory)
    assert [path.name for path in graph_file(tried).parent.iterdir()] == ["onnxruntime.graph"]
    window = np.random.default_rng(7).standard_normal((3, 6, 100)).astype(np.float32)
    plain = LoadedModel(tried, ServingLimits())
    name = plain.serving.inputs[0].name
    assert read_graph(release, key_of(tried)) is not None
    cached = LoadedModel(tried, ServingLimits(), CACHED)
    assert not cached.wants_graph
    for output, values in plain.run({name: window}).items():
        assert np.allclose(values, cached.run({name: window})[output], rtol=1e-5, atol=1e-6)


CHANGES: dict[str, Callable[[GraphKey], GraphKey]] = {
    "another model": lambda key: replace(key, model_sha256="0" * 64),
    "another runtime": lambda key: replace(key, runtime="onnxruntime", version="1.0.0"),
    "other options": lambda key: replace(key, options={"providers": ["OtherExecutionProvider"]}),
    "another processor": lambda key: replace(key, cpu="0" * 64),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_graph_of_anything_else_is_as_if_it_were_not_there(
    slots: Path, change: Callable[[GraphKey], GraphKey]
) -> None:
    slot = install(tiny_plan(), slots)
    release, key = Path(slot.directory), key_of(slot)
    write_graph(release, change(key), b"graph")
    assert read_graph(release, key) is None
    assert read_graph(release, change(key)) == b"graph"
    assert LoadedModel(slot, ServingLimits(), CACHED).wants_graph


def test_graph_with_any_byte_changed_is_left_aside_and_the_release_serves(tried: SlotRef) -> None:
    path = graph_file(tried)
    whole = path.read_bytes()
    for at in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert read_graph(Path(tried.directory), key_of(tried)) is None
    for length in (0, 1, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert read_graph(Path(tried.directory), key_of(tried)) is None
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert LoadedModel(tried, ServingLimits(), CACHED).wants_graph


def test_release_that_fails_its_self_test_leaves_no_graph(slots: Path) -> None:
    slot = install(tiny_plan(), slots)
    spoil_golden(slot, lambda expected: expected + np.float32(1))
    assert not try_release(slot)
    assert not graph_file(slot).exists()


def test_graph_goes_with_its_release_and_only_then(slots: Path) -> None:
    kept, gone = install(tiny_plan("1.0.0"), slots), install(tiny_plan("2.0.0"), slots)
    for slot in (kept, gone):
        write_graph(Path(slot.directory), key_of(slot), b"graph")
    collect(slots / "models" / kept.model, keep=(kept.manifest_sha256,))
    assert graph_file(kept).exists()
    assert not graph_file(gone).parent.exists()


def test_worker_that_finds_no_graph_has_one_made_beside_its_serving(slots: Path) -> None:
    """After a new onnxruntime, say: it serves at once from the model, and faster after the next start."""
    slot = install(tiny_plan(), slots)

    async def serve() -> None:
        pool = ServingPool(sockets=[], limits=ServingLimits(), on_event=lambda event: None, options=CACHED)
        await pool.start([slot])
        await asyncio.to_thread(wait_until, graph_file(slot).exists, timeout_s=30, what="the graph is made")
        await pool.stop()

    asyncio.run(serve())
    assert not LoadedModel(slot, ServingLimits(), CACHED).wants_graph


def test_full_or_read_only_disk_costs_the_graph_and_nothing_else(slots: Path) -> None:
    slot = install(tiny_plan(), slots)
    folder = slots / "models" / slot.model / "graphs"
    folder.write_text("in its place")  # what cannot be written to
    assert try_release(slot)
    assert LoadedModel(slot, ServingLimits(), CACHED).wants_graph


def test_folder_that_is_no_slot_has_no_graph(tmp_path: Path, slots: Path) -> None:
    slot = install(tiny_plan(), slots)
    loose = tmp_path / "loose"
    shutil.copytree(slot.directory, loose)
    assert try_release(replace(slot, directory=str(loose)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loose", "state"]


def test_disk_that_is_nearly_full_serves_without_a_graph(slots: Path) -> None:
    slot = install(tiny_plan(), slots)
    narrow = replace(SelfTestLimits(), graph_reserve_bytes=2**60)
    said = asyncio.run(make_graph(slot.directory, narrow, CACHED))
    assert said == {"made": False, "why": "the disk has no room for it"}
    assert not graph_file(slot).exists()
    assert asyncio.run(make_graph(slot.directory, SelfTestLimits(), CACHED))["made"] is True

"""Updates that come as a delta, and all the ways in which a delta may fail without harm."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from limosa_agent.fetch.slots import switch_current, verify_release
from limosa_contracts.delta.limits import DeltaLimits
from limosa_contracts.delta.making import make_delta
from limosa_contracts.delta.wire import HEAD_BYTES, MEDIA_TYPE, DeltaHead
from tests.agent.fetch.world import QUICK, Answer, Published, World
from tests.support.hostile_server import (
    Answering,
    Trick,
    bit_flipped,
    cut_off_at,
    redirect_to,
    status,
    whole_again,
)
from tests.support.waiting import wait_until

RNG = np.random.default_rng(11)
OLD = RNG.bytes(600_000)
NEW = OLD[:450_000] + RNG.bytes(150_000) + OLD[450_000:]
DELTA = make_delta(OLD, NEW) or b""


@pytest.fixture
def second(world: World) -> Published:
    """1.0.0 is current on the device; 1.0.1 is to come, and the server has the delta of its model."""
    first = world.publish("1.0.0", {"model.onnx": OLD})
    assert not world.fetch(first).error
    switch_current(world.model.folder, first.manifests["int8"])
    second = world.publish("1.0.1", {"model.onnx": NEW})
    put_delta(world, first, second, DELTA)
    world.server.asked.clear()
    world.server.sent = 0
    return second


def put_delta(world: World, first: Published, second: Published, data: bytes) -> None:
    old, new = first.blob("model.onnx"), second.blob("model.onnx")
    path = f"/v2/demo/motion/blobs/sha256:{new}?from=sha256:{old}"
    world.server.files[path] = data
    world.server.media_types[path] = MEDIA_TYPE


def transfer(answer: Answer) -> dict[str, Any]:
    assert not answer.error, answer.error
    told = answer.result["transfer"]
    assert isinstance(told, dict)
    return told


def asked_for_delta(world: World) -> list[int | None]:
    """Starts of the ranges that were asked of the delta."""
    return [asked.start for asked in world.server.asked if "?from=" in asked.path]


def asked_for_blob(world: World, release: Published) -> int:
    return sum(asked.path.endswith(release.blob("model.onnx")) for asked in world.server.asked)


def put_trick(world: World, trick: Trick) -> None:
    world.server.tricks["?from="] = trick


def is_whole(world: World, release: Published) -> bool:
    verify_release(world.model.folder, release.manifests["int8"])
    folder = world.model.release(release.manifests["int8"])
    left = [path.name for path in world.model.staging.iterdir()]
    return (folder / "model.onnx").read_bytes() == NEW and left == []


def test_an_update_moves_the_delta_and_not_the_blob(world: World, second: Published) -> None:
    got = world.fetch(second)
    told = transfer(got)
    assert told["way"] == "delta"
    assert (told["deltas"], told["saved_bytes"]) == (1, len(NEW) - len(DELTA))
    assert told["bytes"] < len(DELTA) + 5000
    assert told["bytes"] == got.result["bytes"]
    assert (asked_for_delta(world), asked_for_blob(world, second)) == ([None], 0)
    assert is_whole(world, second)
    last = got.progress[-1]
    assert last["phase"] == "VERIFYING"
    assert last["bytes"] == last["of"] == got.result["size_bytes"]


def another_delta(_: Answering) -> bytes:
    return make_delta(OLD, OLD[:-5] + b"other") or b""


def renamed(answering: Answering) -> None:
    """A delta for other blobs whose head claims to be for these."""
    head = DeltaHead.parse(DELTA, DeltaLimits())
    other = another_delta(answering)
    claimed = replace(
        DeltaHead.parse(other, DeltaLimits()),
        result_sha256=head.result_sha256,
        result_bytes=head.result_bytes,
    )
    answering.honest(claimed.encode() + other[HEAD_BYTES:])


def as_blob(answering: Answering) -> None:
    """A server that does not know `from`."""
    answering.server.media_types.clear()
    answering.honest(NEW)


def huge(answering: Answering) -> None:
    answering.honest(b"\0" * (len(NEW) + 1))


def reset_at_once(answering: Answering) -> None:
    answering.handler.connection.close()


@pytest.mark.parametrize(
    "trick, reason",
    [
        (status(404), "none"),
        (status(415), "refused"),
        (status(500), "refused"),
        (status(503), "not_ready"),
        (redirect_to("http://elsewhere.test/"), "refused"),
        (as_blob, "none"),
        (huge, "too_large"),
        (bit_flipped, "damaged"),
        (lambda answering: answering.honest(DELTA[:-3]), "damaged"),
        (lambda answering: answering.honest(DELTA + b"\0"), "damaged"),
        (lambda answering: answering.honest(b"no delta"), "damaged"),
        (lambda answering: answering.honest(another_delta(answering)), "other_blob"),
        (renamed, "damaged"),
        (reset_at_once, "link"),
        (cut_off_at(0), "link"),
    ],
)
def test_a_delta_of_no_use_costs_the_full_blob(
    world: World, second: Published, trick: Trick, reason: str
) -> None:
    put_trick(world, trick)
    told = transfer(world.fetch(second, limits={**QUICK, "delta_wait_s": 0.1}))
    assert told["way"] == "full"
    assert told["fallbacks"] == {reason: 1}
    assert told["bytes"] >= len(NEW)
    assert is_whole(world, second)


def test_a_delta_that_broke_off_is_resumed(world: World, second: Published) -> None:
    put_trick(world, cut_off_at(90_000))
    assert world.fetch(second).failed("transfer", "LM-591")
    world.server.tricks.clear()
    told = transfer(world.fetch(second))
    assert asked_for_delta(world) == [None, 90_000]
    assert (told["way"], asked_for_blob(world, second)) == ("delta", 0)
    assert is_whole(world, second)


def test_a_delta_that_never_comes_nearer_is_given_up(world: World, second: Published) -> None:
    """Each answer begins anew and breaks off at the same byte."""

    def broken(answering: Answering) -> None:
        answering.start = None
        cut_off_at(90_000)(answering)

    put_trick(world, broken)
    assert world.fetch(second).failed("transfer", "LM-591")
    told = transfer(world.fetch(second))
    assert (told["way"], told["fallbacks"]) == ("full", {"link": 1})
    assert is_whole(world, second)


def test_a_server_that_knows_no_ranges_sends_the_delta_again(world: World, second: Published) -> None:
    put_trick(world, cut_off_at(90_000))
    assert world.fetch(second).failed("transfer", "LM-591")
    put_trick(world, whole_again)
    assert transfer(world.fetch(second))["way"] == "delta"
    assert is_whole(world, second)


def test_the_child_is_killed_between_the_delta_and_its_blob(world: World, second: Published) -> None:
    """What is left is a whole delta and a torn part: as after a loss of power."""
    world.model.staging.mkdir(exist_ok=True)
    sha = second.blob("model.onnx")
    world.model.delta(sha).write_bytes(DELTA)
    assert transfer(world.fetch(second))["way"] == "delta"
    assert asked_for_delta(world) == [len(DELTA)]
    assert is_whole(world, second)


def test_a_torn_part_beside_the_delta_is_fetched_as_a_blob(world: World, second: Published) -> None:
    world.model.staging.mkdir(exist_ok=True)
    sha = second.blob("model.onnx")
    world.model.delta(sha).write_bytes(DELTA)
    world.model.part(sha).write_bytes(NEW[:1000] + b"\0" * (len(NEW) - 1000))
    assert transfer(world.fetch(second))["way"] == "full"
    verify_release(world.model.folder, second.manifests["int8"])


def test_a_child_that_was_killed_in_a_delta_goes_on_with_it(world: World, second: Published) -> None:
    def stalls(answering: Answering) -> None:
        cut_off_at(8000)(answering)
        answering.handler.wfile.flush()
        answering.server.done.wait(30)

    put_trick(world, stalls)
    child = world.spawn(second, limits={**QUICK, "rate_window_s": 30.0, "idle_timeout_s": 30.0})
    delta = world.model.delta(second.blob("model.onnx"))
    wait_until(
        lambda: delta.exists() and delta.stat().st_size == 8000, timeout_s=30, what="8000 bytes have come"
    )
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=30)
    world.server.tricks.clear()
    assert transfer(world.fetch(second))["way"] == "delta"
    assert asked_for_delta(world)[-1] == 8000
    assert is_whole(world, second)


def test_a_delta_that_ended_the_process_is_not_applied_again(world: World, second: Published) -> None:
    """One that runs out of memory each time would be fetched and applied for ever."""
    world.model.staging.mkdir(parents=True, exist_ok=True)
    world.model.delta(second.blob("model.onnx")).write_bytes(b"")  # as applying leaves it until it is done
    told = transfer(world.fetch(second))
    assert (told["way"], told["fallbacks"]) == ("full", {"ended_process": 1})
    assert (asked_for_delta(world), asked_for_blob(world, second)) == ([], 1)


def test_the_budget_counts_what_was_moved(world: World, second: Published) -> None:
    enough = len(DELTA) + 5000
    assert enough < len(NEW)
    assert transfer(world.fetch(second, byte_budget=enough))["way"] == "delta"
    assert is_whole(world, second)


def test_a_spent_budget_keeps_what_came_of_the_delta(world: World, second: Published) -> None:
    assert world.fetch(second, byte_budget=len(DELTA) // 2).failed("transfer", "LM-592")
    assert world.fetch(second, byte_budget=len(NEW) // 4).error == {}
    assert asked_for_blob(world, second) == 0
    assert is_whole(world, second)


def test_a_base_that_rotted_gives_nothing_wrong(world: World, second: Published) -> None:
    (folder,) = world.model.releases.iterdir()
    model = folder / "model.onnx"
    data = bytearray(model.read_bytes())
    data[7] ^= 1
    model.unlink()  # blobs share their bytes with the slot
    model.write_bytes(bytes(data))
    told = transfer(world.fetch(second))
    assert told["fallbacks"] == {"damaged": 1}
    verify_release(world.model.folder, second.manifests["int8"])


@pytest.mark.parametrize(
    "limits", [{"delta_memory_bytes": 0}, {"delta_min_bytes": 10_000_000}, {"delta_memory_bytes": len(NEW)}]
)
def test_a_device_that_cannot_afford_deltas_does_not_ask(
    world: World, second: Published, limits: dict[str, int]
) -> None:
    told = transfer(world.fetch(second, limits={**QUICK, **limits}))
    assert (told["way"], asked_for_delta(world)) == ("full", [])


def test_a_first_installation_and_an_equal_file_ask_for_no_delta(world: World) -> None:
    first = world.publish("1.0.0", {"model.onnx": OLD})
    assert transfer(world.fetch(first))["way"] == "full"
    switch_current(world.model.folder, first.manifests["int8"])
    again = world.publish("1.0.1", {"model.onnx": OLD, "labels.json": b"[]"})
    assert transfer(world.fetch(again))["bytes"] < 5000
    assert asked_for_delta(world) == []

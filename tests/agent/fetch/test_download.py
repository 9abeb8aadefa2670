"""Downloads that break, lie or dawdle (agent 2.2, trust 3.4)."""

from __future__ import annotations

import os
import resource
import signal
import time

import pytest

from limosa_agent.fetch.slots import verify_release
from tests.agent.fetch.world import Answer, Published, World
from tests.support.hostile_server import (
    Answering,
    cut_off_at,
    dripping,
    dripping_headers,
    endless,
    gzipped,
    hostile_server,
    other_range,
    redirect_to,
    silent,
    whole_again,
)
from tests.support.waiting import wait_until

SIZE = 400_000


def big(world: World) -> Published:
    return world.publish("1.0.0", {"model.onnx": os.urandom(SIZE)})


def received(answer: Answer) -> int:
    value = answer.result["bytes"]
    assert isinstance(value, int)
    return value


def test_a_link_that_breaks_costs_only_what_had_not_come(world: World) -> None:
    one = big(world)
    world.server.tricks[one.blob("model.onnx")] = cut_off_at(300_000)
    assert world.fetch(one).failed("transfer", "LM-591")
    world.server.tricks.clear()
    got = world.fetch(one)
    assert 100_000 <= received(got) < 110_000
    assert world.server.asked_for(one.blob("model.onnx"))[-1].start == 300_000
    verify_release(world.model.folder, one.manifests["int8"])


@pytest.mark.parametrize("trick", [whole_again, other_range])
def test_a_server_that_does_not_obey_a_range_restarts_the_blob(world: World, trick: object) -> None:
    one = big(world)
    part = world.model.part(one.blob("model.onnx"))
    part.parent.mkdir(parents=True)
    part.write_bytes(b"z" * 1000)  # as if begun: the bytes are wrong, which a resume would keep
    assert callable(trick)
    world.server.tricks[one.blob("model.onnx")] = trick
    got = world.fetch(one)
    assert received(got) >= SIZE
    verify_release(world.model.folder, one.manifests["int8"])
    done = [line["bytes"] for line in got.progress]
    assert all(isinstance(size, int) and 0 <= size <= SIZE + 10_000 for size in done)


def test_a_part_that_a_power_cut_tore_costs_one_download_more(world: World) -> None:
    one = big(world)
    part = world.model.part(one.blob("model.onnx"))
    part.parent.mkdir(parents=True)
    part.write_bytes(b"\0" * 200_000)
    got = world.fetch(one)
    assert received(got) >= SIZE + 200_000
    verify_release(world.model.folder, one.manifests["int8"])


def test_a_part_that_is_too_long_is_thrown_away(world: World) -> None:
    one = big(world)
    part = world.model.part(one.blob("model.onnx"))
    part.parent.mkdir(parents=True)
    part.write_bytes(b"\0" * (SIZE + 1))
    assert not world.fetch(one).error


@pytest.mark.parametrize("path", ["timestamp.json", "manifests/", "model.onnx"])
@pytest.mark.parametrize("trick", [dripping, dripping_headers, silent])
def test_who_dawdles_is_given_up(world: World, path: str, trick: object) -> None:
    one = big(world)
    assert callable(trick)
    world.server.tricks[one.blob("model.onnx") if path == "model.onnx" else path] = trick
    started = time.monotonic()
    got = world.fetch(one)
    assert got.failed("transfer", "LM-590")
    assert time.monotonic() - started < 4


def test_a_download_has_a_total_time_too(world: World) -> None:
    one = big(world)

    def steady(answering: Answering) -> None:
        """Fast enough for the least rate, not for the budget."""
        answering.head(200, ("Content-Length", str(SIZE)))
        for i in range(0, SIZE, 2000):
            if answering.server.done.wait(0.05):
                return
            answering.body(answering.data[i : i + 2000])

    world.server.tricks[one.blob("model.onnx")] = steady
    got = world.fetch(one, limits={"blob_budget_s": 0.5, "disk_reserve_bytes": 0})
    assert got.failed("transfer", "LM-590")
    part = world.model.part(one.blob("model.onnx"))
    assert 0 < part.stat().st_size < SIZE  # and it goes on from there


@pytest.mark.parametrize(
    ("path", "kind", "code"),
    [
        ("timestamp.json", "transfer", "LM-591"),
        ("2.root.json", "transfer", "LM-591"),
        ("manifests/", "transfer", "LM-591"),
        ("index.json", "transfer", "LM-591"),
        ("model.onnx", "transfer", "LM-591"),
    ],
)
def test_a_body_without_end_is_cut(world: World, path: str, kind: str, code: str) -> None:
    one = big(world)
    world.server.tricks[one.blob("model.onnx") if path == "model.onnx" else path] = endless
    assert world.fetch(one).failed(kind, code)
    files = [path for path in world.device.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < SIZE + 500_000


def test_a_redirect_to_another_host_gets_neither_a_request_nor_the_token(world: World) -> None:
    one = big(world)
    with hostile_server() as other:
        for path in ("timestamp.json", "/manifests/", "/blobs/"):
            world.server.tricks = {path: redirect_to(other.url + "/steal")}
            assert world.fetch(one).failed("transfer", "LM-593")
        assert other.asked == []


def test_a_redirect_on_the_same_host_is_followed_but_not_for_ever(world: World) -> None:
    one = big(world)
    sha = one.blob("model.onnx")
    world.server.files["/elsewhere"] = world.server.files[f"/v2/demo/motion/blobs/sha256:{sha}"]
    world.server.tricks[sha] = redirect_to("/elsewhere")
    assert not world.fetch(one).error
    two = world.publish("2.0.0")
    world.server.tricks[two.blob("model.onnx")] = redirect_to("?again")
    assert world.fetch(two).failed("transfer", "LM-589")


def test_an_encoded_answer_is_refused(world: World) -> None:
    one = big(world)
    world.server.tricks["/blobs/"] = gzipped
    assert world.fetch(one).failed("transfer", "LM-589")


def test_a_server_that_is_not_there_is_a_matter_of_waiting(world: World) -> None:
    one = big(world)
    assert world.fetch(one, server="http://127.0.0.1:1").failed("transfer", "LM-301")


def test_the_byte_budget_of_a_window_stops_and_the_next_goes_on(world: World) -> None:
    one = big(world)
    attempts = 0
    while attempts < 10:
        attempts += 1
        got = world.fetch(one, byte_budget=150_000)
        if not got.error:
            break
        assert got.failed("transfer", "LM-592")
    assert 2 <= attempts <= 4
    assert world.fetch(world.publish("2.0.0"), byte_budget=0).failed("transfer", "LM-592")


def test_a_disk_without_room_is_noticed_before_the_download(world: World) -> None:
    one = big(world)
    got = world.fetch(one, limits={"disk_reserve_bytes": 1 << 60})
    assert got.failed("fault", "LM-595")
    assert got.error["reason"] == "disk_full"
    assert not world.server.asked_for("/blobs/")


def test_a_disk_that_fills_during_the_download_gets_its_space_back(world: World) -> None:
    """The kernel refuses to let the file grow, as on a full disk."""
    one = big(world)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        got = world.fetch(one)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert got.failed("fault", "LM-595")
    assert not world.model.part(one.blob("model.onnx")).exists()
    assert not world.fetch(one).error


def test_a_killed_child_leaves_what_came_and_the_next_goes_on(world: World) -> None:
    one = big(world)
    sha = one.blob("model.onnx")
    part = world.model.part(sha)

    def stuck_in_the_middle(answering: Answering) -> None:
        answering.head(200, ("Content-Length", str(SIZE)))
        answering.body(answering.data[:300_000])
        answering.server.done.wait(30)

    world.server.tricks[sha] = stuck_in_the_middle
    child = world.spawn(one, limits={"disk_reserve_bytes": 0})
    try:
        wait_until(
            lambda: part.exists() and part.stat().st_size >= 300_000, timeout_s=20, what="most of the blob"
        )
    finally:
        child.kill()
        child.communicate(timeout=10)
    world.server.tricks.clear()
    got = world.fetch(one)
    assert received(got) < 150_000
    verify_release(world.model.folder, one.manifests["int8"])


def test_the_child_answers_on_stdout_and_ends_well(world: World) -> None:
    child = world.spawn(big(world))
    out, _ = child.communicate(timeout=30)
    assert child.returncode == 0
    lines = out.decode().splitlines()
    assert '"progress"' in lines[0]
    assert '"result"' in lines[-1]


def test_two_children_at_once_do_not_meet(world: World) -> None:
    one = big(world)
    world.server.tricks["timestamp.json"] = dripping
    first = world.spawn(one, limits={"rate_window_s": 30})
    try:
        wait_until(
            lambda: world.server.asked_for("timestamp.json"), timeout_s=20, what="the first is at work"
        )
        world.server.tricks.clear()
        asked = len(world.server.asked)
        second = world.fetch(one)
        assert second.failed("transfer", "LM-594")
        assert len(world.server.asked) == asked
    finally:
        first.kill()
        first.communicate(timeout=10)
    assert not world.fetch(one).error

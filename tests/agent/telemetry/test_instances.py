"""Applications that tell what they counted: each count once, and nothing that is made up (agent 1)."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.telemetry.instance_message import MESSAGE_MAX_BYTES, InstanceMessage
from limosa_agent.telemetry.instances import INSTANCES_MAX, SILENT_S, Instances, ReleaseShape
from limosa_agent.telemetry.observations_socket import READ_AT_ONCE, ObservationsSocket, try_observations
from limosa_agent.telemetry.windows import WindowBook
from limosa_contracts.baseline import BINS
from limosa_contracts.errors import LimosaError

MODEL, SHA = "demo/motion", "a" * 64
SHAPE = ReleaseShape(version="1.0.0", baseline_id="c" * 16, features=1, classes=2)


def raw(n: int) -> dict[str, Any]:
    return {
        "n": n, "requests": n, "failed_requests": 0, "errors": {}, "refused": {}, "nan_outputs": 0,
        "replayed": 0, "unmeasured": 0, "latency": [n] + [0] * 31, "classes": [n, 0],
        "confidence": [0] * 9 + [n], "bins": [[n] + [0] * (BINS - 1)], "missing": [0], "sums": [-2.0 * n],
        "squares": [float(n)], "baseline_id": "c" * 16, "manifest_sha256": SHA,
    }  # fmt: skip


def message(rows: int, sequence: int = 0, *, who: int = 1, **changes: Any) -> InstanceMessage:
    return InstanceMessage(
        model=MODEL,
        manifest_sha256=SHA,
        instance=f"{who}-{who:016x}",
        sequence=sequence,
        snapshot={**raw(rows), **changes},
    )


def test_message_is_read_as_it_was_written() -> None:
    told = message(7, 3)
    assert InstanceMessage.parse(told.encode()) == told


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 50), st.booleans()),
        max_size=40,
    )
)
def test_whatever_is_lost_every_inference_of_every_instance_is_counted_once(
    steps: list[tuple[int, int, bool]],
) -> None:
    """Three applications and the worker (number 0) answer with one release, into one book."""
    book, instances = WindowBook(device="dev-1", boot="1-x"), Instances()
    counted, sequences = [0] * 4, [0] * 4
    place: dict[str, Any] = {"model": MODEL, "version": "1.0.0", "manifest_sha256": SHA}
    place |= {"clock": "rtc", "mono_s": 1.0, "at": 1e9}

    def tell(who: int) -> None:
        if who:
            fresh = instances.take(message(counted[who], sequences[who], who=who), SHAPE, at_s=0.0)
            sequences[who] += 1
            book.add(**place, fresh=fresh)
        else:
            book.observe(**place, generation=1, snapshot=snapshot_of(counted[0]))

    for who, more, delivered in steps:
        counted[who] += more
        if delivered:
            tell(who)
    for who in range(4):
        tell(who)
    assert sum(window.n for window in book.due(in_probation=True)) == sum(counted)


def snapshot_of(n: int) -> Any:
    return Instances().take(message(n), SHAPE, at_s=0.0)


def test_what_the_agent_before_has_counted_is_not_counted_again() -> None:
    instances = Instances()
    assert instances.take(message(40, sequence=9), SHAPE, at_s=0.0).n == 0
    assert instances.take(message(45, sequence=10), SHAPE, at_s=1.0).n == 5


@pytest.mark.parametrize(
    "forged",
    [
        {"n": -1},
        {"n": 2**60},
        {"n": 1e400},
        {"n": True},
        {"nan_outputs": -5},
        {"errors": {"LM-565": -1}},
        {"errors": {"<script>": 1}},
        {"errors": {f"LM-{i:03}": 1 for i in range(100)}},
        {"bins": [[1] * BINS, [1] * BINS]},
        {"bins": [[1]]},
        {"classes": [1, 0, 0]},
        {"latency": [10]},
        {"sums": [float("nan")]},
        {"sums": [1e300]},
        {"baseline_id": "d" * 16},
        {"shadow_compared": 3},
        {"n": 3},  # less than before
        {"latency": [9] + [1] + [0] * 30},  # as many, but one went back
    ],
)
def test_forged_snapshot_changes_nothing(forged: dict[str, Any]) -> None:
    instances = Instances()
    instances.take(message(10), SHAPE, at_s=0.0)
    with pytest.raises((LimosaError, ValueError)):
        instances.take(InstanceMessage.parse(message(10, 1, **forged).encode()), SHAPE, at_s=1.0)
    assert instances.take(message(12, 1), SHAPE, at_s=2.0).n == 2


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff", b"[]", b"{}", b'{"model":1}', b"[" * 5000, b" " * (MESSAGE_MAX_BYTES + 1),
        message(1).encode().replace(b"demo/motion", b"../../etc/x"),
        message(1).encode().replace(SHA.encode(), b"../passwd"),
        message(1).encode().replace(b'"sequence":0', b'"sequence":-1'),
        message(1).encode().replace(b'{"instance"', b'{"and":0,"instance"'),
    ],
)  # fmt: skip
def test_datagram_that_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(LimosaError):
        InstanceMessage.parse(data)


def test_message_that_comes_twice_or_late_counts_once() -> None:
    instances = Instances()
    instances.take(message(10, 0), SHAPE, at_s=0.0)
    for old in (message(10, 0), message(12, 0)):
        with pytest.raises(LimosaError):
            instances.take(old, SHAPE, at_s=0.0)


def test_crowd_of_instances_is_bounded_and_the_silent_ones_make_room() -> None:
    instances = Instances()
    for who in range(INSTANCES_MAX):
        instances.take(message(1, who=who), SHAPE, at_s=float(who) / 100)
    with pytest.raises(LimosaError):
        instances.take(message(1, who=999), SHAPE, at_s=1.0)
    assert instances.take(message(2, 1, who=5), SHAPE, at_s=2.0).n == 1  # who is known goes on
    assert instances.take(message(1, who=999), SHAPE, at_s=SILENT_S).n == 1
    assert (
        instances.take(message(9, 1, who=0), SHAPE, at_s=3 * SILENT_S).n == 0
    )  # was forgotten: goes on from here


def test_flood_is_read_slowly_and_the_sender_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "o.sock"
    taken: list[InstanceMessage] = []

    async def flood() -> int:
        opened = ObservationsSocket(path, taken.append)
        refused = 0
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hostile:
            hostile.setblocking(False)
            hostile.connect(str(path))
            for i in range(500):
                try:
                    hostile.send(b"\xff" if i % 2 else message(i).encode())
                except BlockingIOError:
                    refused += 1
                await asyncio.sleep(0)
        opened.close()
        return refused

    assert asyncio.run(flood()) > 100
    assert 0 < len(taken) < 500 - 100
    assert len(taken) >= READ_AT_ONCE // 2
    assert not path.exists()


def test_socket_is_for_the_agents_group_and_can_be_missing(tmp_path: Path) -> None:
    async def look() -> None:
        opened = try_observations(tmp_path / "o.sock", lambda told: None)
        assert opened is not None
        assert stat.S_IMODE((tmp_path / "o.sock").stat().st_mode) == 0o660
        opened.close()
        assert try_observations(tmp_path / ("long" * 40), lambda told: None) is None

    asyncio.run(look())


def test_largest_release_fits_in_one_datagram() -> None:
    """256 features, each count in the billions."""
    features, big = 256, 10**10
    amounts = [-1.2345678901234567e-100] * features
    largest = {
        **raw(big), "bins": [[big] * BINS] * features, "missing": [big] * features, "sums": amounts,
        "squares": amounts, "classes": [big] * 1024,
    }  # fmt: skip
    told = InstanceMessage(
        model=MODEL, manifest_sha256=SHA, instance=f"1-{1:016x}", sequence=2**40, snapshot=largest
    ).encode()
    assert len(told) <= MESSAGE_MAX_BYTES
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.setblocking(False)
        assert one.send(told) == len(told)
        assert json.loads(other.recv(MESSAGE_MAX_BYTES + 1))["instance"].startswith("1-")

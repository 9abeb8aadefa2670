"""Memory decides whether the previous generation stays warm, and who ends first is settled (agent 1)."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from limosa_agent.resident import rss_bytes
from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.memory import StandbyRoom, available_bytes, group_headroom, parse_meminfo
from limosa_agent.serving.pool import PoolEvent, ServingPool
from limosa_agent.serving.runtime_options import RuntimeOptions
from tests.agent.serving.conftest import quick_limits
from tests.agent.serving.http_client import Client, row
from tests.agent.serving.releases import TINY, install, tiny_plan
from tests.support.waiting import wait_until

MIB = 2**20


def group(folder: Path, *, limit: str, current: int, inactive_file: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {inactive_file}\n")
    return folder


def test_container_with_less_room_than_its_machine_is_believed(tmp_path: Path) -> None:
    outer = group(tmp_path / "unit", limit=str(100 * MIB), current=90 * MIB, inactive_file=5 * MIB)
    inner = group(outer / "agent", limit="max", current=10 * MIB)
    assert group_headroom(inner, tmp_path) == 15 * MIB
    group(inner, limit=str(12 * MIB), current=10 * MIB)
    assert group_headroom(inner, tmp_path) == 2 * MIB
    group(inner, limit=str(8 * MIB), current=10 * MIB)
    assert group_headroom(inner, tmp_path) == 0
    assert group_headroom(tmp_path / "no/such", tmp_path) is None


def test_odd_text_of_the_kernel_is_unknown_not_an_error(tmp_path: Path) -> None:
    assert parse_meminfo("") is None
    assert parse_meminfo("MemAvailable: much\n") is None
    broken = group(tmp_path / "unit", limit="12", current=1)
    (broken / "memory.stat").write_text("one two three\n")
    assert group_headroom(broken, tmp_path) is None


def test_this_machine_has_memory_and_this_process_takes_some() -> None:
    available = available_bytes()
    assert available is None or available > 0
    assert rss_bytes(2**22 + 1) == 0


def test_where_memory_is_unknown_the_standby_stays() -> None:
    room = StandbyRoom(lambda: None, 10**9)
    assert room.fits(serving_rss=10**9)
    assert not room.is_gone()


async def _version(port: int) -> str:
    def ask() -> str:
        with Client(port) as client:
            version: str = client.infer(TINY, row(1, 2, 3)).json["model_version"]
            return version

    return await asyncio.to_thread(ask)


def _serve_with(slots: Path, *, memory: list[int], limits: ServingLimits) -> tuple[list[int], list[str], int]:
    """(number of workers after each step, versions that answered, generation after the fall back).

    Steps: a switch; then memory is what the list says next, for as long as the pool looks twice.
    """
    events: list[PoolEvent] = []
    counts: list[int] = []
    versions: list[str] = []

    async def run() -> int:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            pool = ServingPool(
                sockets=[listening], limits=limits, on_event=events.append, available=lambda: memory[0]
            )
            port = listening.getsockname()[1]
            await pool.start([install(tiny_plan("1.0.0"), slots)])
            await pool.switch([install(tiny_plan("2.0.0"), slots)], keep_standby=True)
            await _settled(pool, 2 if len(memory) > 1 else 1)
            counts.append(len(pool.worker_pids))
            if len(memory) > 1:
                del memory[0]
                await _settled(pool, 1)
                counts.append(len(pool.worker_pids))
            versions.append(await _version(port))
            generation = await pool.fall_back()
            versions.append(await _version(port))
            await pool.stop()
            return generation

    return counts, versions, asyncio.run(run())


async def _settled(pool: ServingPool, workers: int) -> None:
    await asyncio.to_thread(
        wait_until, lambda: len(pool.worker_pids) == workers, timeout_s=10, what=f"{workers} workers"
    )


def test_previous_generation_does_not_stand_by_where_memory_is_short(slots: Path) -> None:
    limits = quick_limits(standby_reserve_bytes=64 * MIB)
    counts, versions, generation = _serve_with(slots, memory=[65 * MIB], limits=limits)
    assert counts == [1]
    assert versions == ["2.0.0", "1.0.0"]
    assert generation == 3  # started again: cold, but there


def test_standby_is_given_up_when_memory_runs_short_during_probation(slots: Path) -> None:
    limits = quick_limits(standby_reserve_bytes=64 * MIB)
    counts, versions, generation = _serve_with(slots, memory=[500 * MIB, 31 * MIB], limits=limits)
    assert counts == [2, 1]
    assert versions == ["2.0.0", "1.0.0"]
    assert generation == 3


def test_kernel_ends_the_standby_before_who_serves_and_nobody_before_the_shadow(slots: Path) -> None:
    async def run() -> tuple[list[int], list[int]]:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            pool = ServingPool(sockets=[listening], limits=quick_limits(), on_event=lambda event: None)
            await pool.start([install(tiny_plan("1.0.0"), slots)])
            await pool.switch([install(tiny_plan("2.0.0"), slots)], keep_standby=True)
            serving, standby = pool.worker_pids
            before = [_oom_score(serving), _oom_score(standby)]
            await pool.fall_back()
            after = [_oom_score(standby)]  # it serves again
            await pool.stop()
            return before, after

    assert asyncio.run(run()) == ([300, 600], [300])


def _oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def _environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def test_worker_gives_memory_back_early(slots: Path) -> None:
    """MALLOC_TRIM_THRESHOLD_ of 64 KiB: 88 -> 73 MB in a prototype (agent 5.4)."""

    async def run() -> bytes:
        pool = ServingPool(sockets=[], limits=quick_limits(), on_event=lambda event: None)
        await pool.start([])
        environment = _environment(pool.worker_pids[0])
        await pool.stop()
        return environment

    assert b"MALLOC_TRIM_THRESHOLD_=65536" in asyncio.run(run()).split(b"\0")


def test_provider_that_this_device_lacks_is_passed_over(slots: Path) -> None:
    async def run() -> str:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            pool = ServingPool(
                sockets=[listening],
                limits=quick_limits(),
                on_event=lambda event: None,
                options=RuntimeOptions(
                    providers=("NoSuchExecutionProvider",), arena=False, intra_op_threads=2
                ),
            )
            await pool.start([install(tiny_plan("1.0.0"), slots)])
            version = await _version(listening.getsockname()[1])
            await pool.stop()
            return version

    assert asyncio.run(run()) == "1.0.0"

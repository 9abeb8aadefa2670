"""The shadow worker: a challenger that nobody waits for, and whose end nobody notices (agent 1)."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limosa_agent.serving.errors import LoadFailed
from limosa_agent.serving.pool import Observation, ShadowCrashed
from tests.agent.serving.conftest import RunningPool, StartPool, quick_limits
from tests.agent.serving.http_client import Client, row
from tests.agent.serving.releases import (
    CHANNELS,
    MOTION,
    TINY,
    crash_plan,
    endless_plan,
    install,
    motion_plan,
    slow_plan,
    tiny_plan,
)
from tests.support.waiting import wait_until


def shadow_crashes(pool: RunningPool) -> list[ShadowCrashed]:
    return [event for event in tuple(pool.events) if isinstance(event, ShadowCrashed)]


def latest(pool: RunningPool, *, shadow: bool = True, model: str = "") -> dict[str, Any]:
    seen = [event for event in pool.observations if event.shadow is shadow and model in ("", event.model)]
    return dict(seen[-1].snapshot) if seen else {}


def wait_for_compared(pool: RunningPool, rows: int, *, model: str = "") -> dict[str, Any]:
    def there() -> bool:
        return int(latest(pool, model=model).get("shadow_compared", 0)) >= rows

    wait_until(there, timeout_s=60, what=lambda: f"{rows} rows compared: {latest(pool, model=model)}")
    return latest(pool, model=model)


def ask(pool: RunningPool, *rows: dict[str, Any]) -> None:
    with Client(pool.port) as client:
        for body in rows:
            assert client.infer(TINY, body).status == 200


def shadow(pool: RunningPool, *slots: Any) -> None:
    pool.call(pool.pool.shadow(slots))


def test_challenger_answers_copies_and_says_how_often_it_disagrees(
    start_pool: StartPool, slots: Path
) -> None:
    active = install(tiny_plan("1.0.0", factor=2.0), slots)
    pool = start_pool(active)
    shadow(pool, install(tiny_plan("2.0.0", factor=3.0), slots))
    assert [slot.version for slot in pool.pool.shadows] == ["2.0.0"]
    ask(pool, *[row(0, 0, 0)] * 6, *[row(1, 2, 3)] * 4)  # twice and three times nothing agree
    seen = wait_for_compared(pool, 10)
    assert (seen["n"], seen["shadow_compared"], seen["shadow_disagreed"]) == (10, 10, 4)
    assert (seen["shadow_dropped"], seen["shadow_against"]) == (0, active.manifest_sha256)
    with Client(pool.port) as client:
        assert client.infer(TINY, row(1, 2, 3)).json["model_version"] == "1.0.0"


def test_same_model_beside_itself_agrees_by_class(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(motion_plan("1.0.0"), slots))
    shadow(pool, install(motion_plan("1.0.1", asset="1.0.0"), slots))
    window = np.linspace(-1, 1, CHANNELS * 100).tolist()
    tensor = {"name": "window", "datatype": "FP32", "shape": [1, CHANNELS, 100], "data": window}
    with Client(pool.port) as client:
        tensor["name"] = client.ask("GET", f"/v2/models/{MOTION}").json["inputs"][0]["name"]
        for _ in range(5):
            assert client.infer(MOTION, {"inputs": [tensor]}).status == 200
    seen = wait_for_compared(pool, 5)
    assert (seen["shadow_disagreed"], sum(seen["classes"])) == (0, 5)


def test_challenger_that_segfaults_touches_nobody(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    fatal = install(crash_plan("6.6.6"), slots)
    shadow(pool, fatal)
    serving = pool.pool.worker_pids
    ask(pool, row(-1, -1, -1))
    wait_until(lambda: shadow_crashes(pool), timeout_s=60, what="the shadow's end is told")
    (crash,) = shadow_crashes(pool)
    assert (crash.signal_name, crash.running, crash.hung) == ("SIGFPE", TINY, False)
    assert (crash.models, crash.manifest_sha256) == ((fatal,), fatal.manifest_sha256)
    assert pool.pool.shadows == ()
    assert pool.crashes == []
    assert pool.pool.worker_pids == serving
    ask(pool, *[row(1, 2, 3)] * 3)
    shadow(pool, install(tiny_plan("2.0.0"), slots))  # another challenger may come
    ask(pool, row(1, 2, 3))
    assert wait_for_compared(pool, 1)["n"] == 1  # what waited for the dead one is not its business


def test_challenger_that_never_ends_drops_copies_and_is_ended(start_pool: StartPool, slots: Path) -> None:
    limits = quick_limits(hang_s=1.0, shadow_wait_max_bytes=8192)
    pool = start_pool(install(tiny_plan("1.0.0"), slots), limits=limits)
    shadow(pool, install(endless_plan("7.7.7", slow=False), slots))
    ask(pool, row(-1, -1, -1), *[row(1, 2, 3)] * 100)  # far more than the queue holds: all are answered
    wait_until(lambda: shadow_crashes(pool), timeout_s=60, what="the hang is seen")
    assert shadow_crashes(pool)[0].hung
    assert pool.crashes == []
    shadow(pool, install(tiny_plan("2.0.0"), slots))
    ask(pool, row(1, 2, 3))
    assert wait_for_compared(pool, 1)["shadow_dropped"] > 0


def test_challenger_that_gets_no_processor_time_is_no_hang(start_pool: StartPool, slots: Path) -> None:
    """A board that others keep busy, for longer than a hang takes."""
    pool = start_pool(install(tiny_plan("1.0.0"), slots), limits=quick_limits(hang_s=1.0))
    shadow(pool, install(tiny_plan("2.0.0"), slots))
    pid = pool.pool.shadow_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    stopped = time.monotonic()
    ask(pool, row(1, 2, 3))
    wait_until(lambda: time.monotonic() - stopped > 1.1, timeout_s=60, what="silent for longer than `hang_s`")
    pool.call(pool.pool.look())
    assert pool.pool.shadow_pid == pid
    os.kill(pid, signal.SIGCONT)
    assert wait_for_compared(pool, 1)["n"] == 1
    assert shadow_crashes(pool) == []


def test_challenger_that_stands_still_is_ended_in_the_end(start_pool: StartPool, slots: Path) -> None:
    limits = quick_limits(hang_s=1.0, shadow_silent_max_s=2.0)
    pool = start_pool(install(tiny_plan("1.0.0"), slots), limits=limits)
    shadow(pool, install(tiny_plan("2.0.0"), slots))
    pid = pool.pool.shadow_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: shadow_crashes(pool), timeout_s=60, what="the hang is seen")
    assert shadow_crashes(pool)[0].hung
    assert pool.crashes == []


def test_copies_follow_a_switch_and_a_fall_back_of_the_active_version(
    start_pool: StartPool, slots: Path
) -> None:
    first, second = (install(tiny_plan(version), slots) for version in ("1.0.0", "1.1.0"))
    pool = start_pool(first)
    shadow(pool, install(tiny_plan("2.0.0"), slots))
    ask(pool, row(1, 2, 3))
    assert wait_for_compared(pool, 1)["shadow_against"] == first.manifest_sha256
    pool.switch(second)
    ask(pool, row(1, 2, 3))
    assert wait_for_compared(pool, 2)["shadow_against"] == second.manifest_sha256
    pool.call(pool.pool.fall_back())
    ask(pool, row(1, 2, 3))
    assert wait_for_compared(pool, 3)["shadow_against"] == first.manifest_sha256


def test_no_copy_is_made_after_the_shadow_was_ended(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    shadow(pool, install(tiny_plan("2.0.0"), slots))
    pid = pool.pool.shadow_pid
    assert pid is not None
    shadow(pool)
    assert (pool.pool.shadows, pool.pool.shadow_pid) == ((), None)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    ask(pool, row(1, 2, 3))
    assert not shadow_crashes(pool)


def test_challenger_that_does_not_load_leaves_the_others_in_the_shadow(
    start_pool: StartPool, slots: Path
) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    good = install(tiny_plan("2.0.0"), slots)
    shadow(pool, good)
    broken = install(tiny_plan("3.0.0"), slots)
    (Path(broken.directory) / "model.onnx").write_bytes(b"no model")
    with pytest.raises(LoadFailed, match="does not load"):
        shadow(pool, good, broken)
    assert pool.pool.shadows == (good,)
    ask(pool, row(1, 2, 3))
    assert wait_for_compared(pool, 1)["n"] == 1


def test_challenger_that_needs_more_memory_than_it_may_have_never_runs(
    start_pool: StartPool, slots: Path
) -> None:
    limits = quick_limits(shadow_memory_max_bytes=48 * 2**20)
    pool = start_pool(install(tiny_plan("1.0.0"), slots), limits=limits)
    with pytest.raises(LoadFailed):
        shadow(pool, install(slow_plan("2.0.0", size=3000, layers=1), slots))
    assert pool.pool.shadows == ()
    ask(pool, row(1, 2, 3))
    assert (pool.crashes, shadow_crashes(pool)) == ([], [])


def test_challenger_of_another_interface_refuses_and_is_not_compared(
    start_pool: StartPool, slots: Path
) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    shadow(pool, install(tiny_plan("2.0.0", width=5), slots))
    ask(pool, row(1, 2, 3))
    wait_until(lambda: latest(pool).get("refused"), timeout_s=60, what="the copy is refused")
    seen = latest(pool)
    assert (seen["shadow_compared"], seen["n"], seen["refused"]) == (0, 0, {"LM-554": 1})


def test_large_inputs_travel_in_a_memory_file(start_pool: StartPool, slots: Path) -> None:
    width = 300_000  # 1.2 MB in, as much out: more than the queue holds
    wide = replace(tiny_plan("1.0.0", width=width), features=())
    pool = start_pool(install(wide, slots), limits=quick_limits(body_max_bytes=32 * 2**20))
    shadow(pool, install(replace(wide, version="2.0.0"), slots))
    body = np.arange(width, dtype="<f4").tobytes()
    head = (
        f'{{"inputs":[{{"name":"x","datatype":"FP32","shape":[1,{width}],'
        f'"parameters":{{"binary_data_size":{len(body)}}}}}],"parameters":{{"binary_data_output":true}}}}'
    ).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    with Client(pool.port) as client:
        for number in range(3):
            answer = client.ask("POST", f"/v2/models/{TINY}/infer", head + body, headers)
            assert answer.status == 200
            wait_for_compared(pool, number + 1)
    assert latest(pool)["shadow_disagreed"] == 0


def test_shadow_worker_killed_by_the_system_is_told_without_blame(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    shadow(pool, install(tiny_plan("2.0.0"), slots))
    pid = pool.pool.shadow_pid
    assert pid is not None
    score = Path(f"/proc/{pid}/oom_score_adj").read_text().strip()
    assert score == "1000"  # the first to go when memory is short
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: shadow_crashes(pool), timeout_s=60, what="its end is told")
    (crash,) = shadow_crashes(pool)
    assert (crash.signal_name, crash.running) == ("SIGKILL", "")


def test_observations_of_challengers_are_marked(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    challenger = install(tiny_plan("2.0.0"), slots)
    shadow(pool, challenger)
    ask(pool, row(1, 2, 3))
    wait_for_compared(pool, 1)
    wait_until(lambda: latest(pool, shadow=False).get("n") == 1, timeout_s=60, what="the active one reports")
    marked: list[Observation] = [event for event in pool.observations if event.shadow]
    assert {event.manifest_sha256 for event in marked} == {challenger.manifest_sha256}
    assert "shadow_compared" not in latest(pool, shadow=False)


def test_two_models_have_challengers_of_their_own(start_pool: StartPool, slots: Path) -> None:
    """A crash of one takes the shadow worker; who is to blame is named, and the other may come back."""
    other = "demo/other"
    actives = [install(tiny_plan("1.0.0"), slots), install(replace(tiny_plan("1.0.0"), model=other), slots)]
    fatal = install(crash_plan("6.6.6"), slots)
    calm = install(replace(tiny_plan("2.0.0"), model=other), slots)
    pool = start_pool(*actives)
    shadow(pool, calm, fatal)
    with Client(pool.port) as client:
        assert client.infer(other, row(1, 2, 3)).status == 200
    wait_for_compared(pool, 1, model=other)
    ask(pool, row(-1, -1, -1))
    wait_until(lambda: shadow_crashes(pool), timeout_s=60, what="the shadow's end is told")
    (crash,) = shadow_crashes(pool)
    assert (crash.running, crash.manifest_sha256) == (TINY, fatal.manifest_sha256)
    shadow(pool, calm)
    with Client(pool.port) as client:

        def compared() -> bool:
            """Copies are dropped rather than kept waiting: one request may go uncompared."""
            assert client.infer(other, row(1, 2, 3)).status == 200
            return any(e.shadow and e.model == other and e.generation == 3 for e in pool.observations)

        def said() -> str:
            return f"the calm one answers again: {shadow_crashes(pool)}, {latest(pool, model=other)}"

        wait_until(compared, timeout_s=60, every_s=0.2, what=said)
    assert pool.crashes == []

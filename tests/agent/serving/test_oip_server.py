"""The Open Inference Protocol against a real worker, over real sockets (agent 5.1)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from limosa_agent.serving.pool import ServingPool
from tests.agent.serving.conftest import RunningPool, StartPool, quick_limits
from tests.agent.serving.http_client import Answer, Client, binary, request, row
from tests.agent.serving.releases import MOTION, TINY, echo_plan, install, motion_plan, slow_plan, tiny_plan
from tests.support.stock_client import ask_with_stock_client
from tests.support.waiting import wait_until

INFER = f"/v2/models/{TINY}/infer"


def test_stock_triton_client_gets_predictions_json_and_binary(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(motion_plan(), slots))
    ask_with_stock_client(pool.port)


@pytest.mark.parametrize("name", [TINY, TINY.replace("/", "%2F"), f"{TINY}/versions/1.0.0"])
def test_model_name_with_a_slash_is_found_plain_and_quoted(steady: RunningPool, name: str) -> None:
    with Client(steady.port) as client:
        answer = client.ask("POST", f"/v2/models/{name}/infer", json.dumps(row(1, 2, 3, id="a")).encode())
    assert answer.json == {
        "model_name": TINY,
        "model_version": "1.0.0",
        "id": "a",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [2.0, 4.0, 6.0]}],
    }


def test_pipelined_requests_are_answered_in_order(steady: RunningPool) -> None:
    with Client(steady.port) as client:
        client.send(b"".join(request("POST", INFER, json.dumps(row(i, 0, 0)).encode()) for i in range(100)))
        got = [client.receive().json["outputs"][0]["data"][0] for _ in range(100)]
    assert got == [2.0 * i for i in range(100)]


def test_request_that_comes_byte_by_byte_or_in_chunks_is_answered(steady: RunningPool) -> None:
    body = json.dumps(row(1, 2, 3)).encode()
    with Client(steady.port) as client:
        for byte in request("POST", INFER, body):
            client.send(bytes([byte]))
        assert client.receive().status == 200
        head = f"POST {INFER} HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        client.send(head + b"".join(b"%x\r\n%b\r\n" % (1, body[i : i + 1]) for i in range(len(body))))
        client.send(b"0\r\n\r\n")
        assert client.receive().status == 200


def test_client_that_half_closes_still_gets_its_answer(steady: RunningPool) -> None:
    with Client(steady.port) as client:
        client.send(request("POST", INFER, json.dumps(row(1, 2, 3)).encode()))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.receive().status == 200
        assert client.at_end()


def test_http_1_0_and_expect_continue(steady: RunningPool) -> None:
    body = json.dumps(row(1, 2, 3)).encode()
    with Client(steady.port) as client:
        head = f"POST {INFER} HTTP/1.1\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        client.send(head.encode())
        assert client.receive().status == 100
        client.send(body)
        assert client.receive().status == 200
    with Client(steady.port) as client:
        client.send(b"GET /v2/health/live HTTP/1.0\r\n\r\n")
        answer = client.receive()
        assert (answer.status, answer.closes) == (200, True)
        assert client.at_end()


def test_other_paths_methods_and_versions(steady: RunningPool) -> None:
    cases = {
        ("GET", "/"): 404,
        ("GET", "/v2/models/demo"): 404,
        ("GET", "/v2/models/demo/none"): 404,
        ("GET", f"/v2/models/{TINY}/versions/9.9.9"): 404,
        ("GET", f"/v2/models/{TINY}/config"): 404,
        ("GET", "/v2/models/" + "a" * 1000): 404,
        ("GET", INFER): 405,
        ("POST", "/v2/health/live"): 405,
        ("POST", "/metrics"): 405,
        ("GET", "/metrics/x"): 404,
        ("POST", "/v2/repository/index"): 200,
        ("GET", "/v2"): 200,
        ("GET", f"/v2/models/{TINY}"): 200,
        ("GET", f"/v2/models/{TINY}/versions/1.0.0/ready"): 200,
    }
    with Client(steady.port) as client:
        got = {case: client.ask(*case).status for case in cases}
    assert got == cases


def test_what_is_served_is_listed_and_counted(tiny: RunningPool) -> None:
    with Client(tiny.port) as client:
        assert client.infer(TINY, row(1, 2, 3)).status == 200
        assert client.infer(TINY, row(1, 2)).status == 400
        listed = client.ask("POST", "/v2/repository/index", b"{}").json
        metrics = client.ask("GET", "/metrics")
        described = client.ask("GET", f"/v2/models/{TINY}").json
    assert listed == [{"name": TINY, "version": "1.0.0", "state": "READY", "reason": ""}]
    assert (described["platform"], described["versions"]) == ("onnxruntime_onnx", ["1.0.0"])
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = metrics.body.decode()
    assert f'limosa_serving_requests_total{{model="{TINY}",version="1.0.0"}} 2' in text
    (refused,) = [line for line in text.splitlines() if line.startswith("limosa_serving_refused_total{")]
    assert 'code="LM-554"' in refused
    assert refused.endswith(" 1")


def test_slow_loris_is_cut_off_and_idle_connections_are_not(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(tiny_plan(), slots), limits=quick_limits(request_read_s=0.5, linger_s=0.3))
    with Client(pool.port) as idle, Client(pool.port) as slow:
        slow.send(b"POST " + INFER.encode() + b" HTTP/1.1\r\nContent-Le")
        answer = slow.receive()
        assert (answer.status, answer.json["code"], answer.closes) == (408, "LM-560", True)
        assert idle.infer(TINY, row(1, 2, 3)).status == 200


def test_connections_above_the_limit_get_503(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(tiny_plan(), slots), limits=quick_limits(connections_max=2))
    with Client(pool.port) as first, Client(pool.port) as second:
        for client in (first, second):
            assert client.infer(TINY, row(1, 2, 3)).status == 200
        with Client(pool.port) as third:
            answer = third.receive()
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert third.at_end()
    wait_until(lambda: is_served(pool.port), timeout_s=5, what="a free place")


def is_served(port: int) -> bool:
    with Client(port) as client:
        return client.infer(TINY, row(1, 2, 3)).status == 200


def test_full_queue_of_a_slow_model_gets_429(start_pool: StartPool, slots: Path) -> None:
    limits = quick_limits(queue_max=1, threads=1)
    pool = start_pool(install(slow_plan(size=1024, layers=60), slots), limits=limits)
    clients = [Client(pool.port, timeout_s=30) for _ in range(12)]
    message = request("POST", INFER, json.dumps(row(*([1] * 3))).encode())
    for client in clients:
        client.send(message)
    answers: list[Answer] = [client.receive() for client in clients]
    for client in clients:
        client.close()
    statuses = [answer.status for answer in answers]
    assert statuses.count(200) >= 2
    assert set(statuses) == {200, 429}
    assert all("retry-after" in answer.headers for answer in answers if answer.status == 429)


@pytest.mark.parametrize(
    ("dtype", "onnx_type", "values"),
    [
        ("INT64", TensorProto.INT64, [-(2**62), 2**62]),
        ("UINT8", TensorProto.UINT8, [0, 255]),
        ("FP16", TensorProto.FLOAT16, [0.5, -2.0]),
        ("BOOL", TensorProto.BOOL, [True, False]),
    ],
)
def test_values_of_every_kind_come_back_as_they_went(
    start_pool: StartPool, slots: Path, dtype: str, onnx_type: int, values: list[object]
) -> None:
    plan = echo_plan(dtype, onnx_type)
    kind = {"INT64": "int64", "UINT8": "uint8", "FP16": "float16", "BOOL": "bool"}[dtype]
    golden = {name: array.astype(kind) for name, array in plan.golden.items()}
    pool = start_pool(install(type(plan)(**{**vars(plan), "golden": golden}), slots))
    body = {"inputs": [{"name": "x", "datatype": dtype, "shape": [1, 2], "data": values}]}
    with Client(pool.port) as client:
        assert client.infer(TINY, body).json["outputs"][0]["data"] == values
        raw = np.array(values, kind).tobytes()
        item = {"name": "x", "datatype": dtype, "shape": [1, 2], "parameters": {"binary_data_size": len(raw)}}
        asked = {"inputs": [item], "parameters": {"binary_data_output": True}}
        answer = client.infer(TINY, *binary(asked, raw))
        assert answer.body[int(answer.headers["inference-header-content-length"]) :] == raw


def test_motion_windows_are_counted_as_the_baseline_counts_them(start_pool: StartPool, slots: Path) -> None:
    from limosa_devices.demo import motion

    windows = motion.load("live").window[:150]
    pool = start_pool(install(motion_plan(), slots))
    with Client(pool.port) as client:
        for window in windows[:100]:
            raw = window.tobytes()
            item = {
                "name": "window",
                "datatype": "FP32",
                "shape": [1, 6, 100],
                "parameters": {"binary_data_size": len(raw)},
            }
            assert client.infer(MOTION, *binary({"inputs": [item]}, raw)).status == 200
        batch = windows[100:].tobytes()
        item = {"name": "window", "datatype": "FP32", "shape": [50, 6, 100]}
        described = {"inputs": [{**item, "parameters": {"binary_data_size": len(batch)}}]}
        assert client.infer(MOTION, *binary(described, batch)).status == 200
    snapshot = pool.call(pool.pool.observe())[MOTION]
    assert isinstance(snapshot, dict)
    assert (snapshot["n"], snapshot["requests"], snapshot["unmeasured"]) == (150, 101, 0)
    bins, sums, latency = snapshot["bins"], snapshot["sums"], snapshot["latency"]
    assert isinstance(bins, list)
    assert isinstance(sums, list)
    assert isinstance(latency, list)
    assert [sum(row) for row in bins if isinstance(row, list)] == [150] * 15
    assert np.allclose(sums[:6], windows.mean(axis=2).sum(axis=0), rtol=1e-3, atol=1e-2)
    assert sum(latency) == 101
    assert sum(snapshot["classes"]) == sum(snapshot["confidence"]) == 150


def test_unix_socket_answers_and_outlives_a_switch(tmp_path: Path, slots: Path) -> None:
    path = tmp_path / "infer.sock"
    body = json.dumps(row(1, 2, 3)).encode()

    def ask() -> bytes:
        with socket.socket(socket.AF_UNIX) as unix:
            unix.settimeout(10)
            unix.connect(str(path))
            unix.sendall(request("POST", INFER, body, {"Connection": "close"}))
            return b"".join(iter(lambda: unix.recv(65536), b""))

    async def serve() -> list[bytes]:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()
            pool = ServingPool(sockets=[listening], limits=quick_limits(), on_event=lambda _: None)
            await pool.start([install(tiny_plan("1.0.0"), slots)])
            answers = [await asyncio.to_thread(ask)]
            await pool.switch([install(tiny_plan("2.0.0"), slots)], keep_standby=False)
            answers.append(await asyncio.to_thread(ask))
            await pool.stop()
            return answers

    first, second = asyncio.run(serve())
    assert b'"model_version":"1.0.0"' in first
    assert b'"model_version":"2.0.0"' in second


def test_worker_dies_with_its_supervisor(tmp_path: Path) -> None:
    """SIGKILL of the supervisor: no worker is left (agent 1)."""
    code = f"""
import asyncio, socket, sys
from pathlib import Path
from tests.agent.serving.releases import install, tiny_plan
from limosa_agent.serving.pool import ServingLimits, ServingPool

async def main():
    pool = ServingPool(
        sockets=[socket.create_server(("127.0.0.1", 0))], limits=ServingLimits(), on_event=lambda _: None
    )
    slot = install(tiny_plan(), Path({str(tmp_path)!r}))
    await pool.start([slot])
    await pool.switch([slot], keep_standby=True)
    print(*pool.worker_pids, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    root = Path(__file__).parents[3]
    supervisor = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root)
    assert supervisor.stdout is not None
    with supervisor.stdout as stdout:
        pids = [int(word) for word in stdout.readline().split()]
    assert len(pids) == 2
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait(10)
    wait_until(lambda: not any(is_alive(pid) for pid in pids), timeout_s=5, what="the workers end")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False

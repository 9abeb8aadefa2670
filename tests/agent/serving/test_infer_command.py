"""`limosa-agent infer` against a real worker: several files, and one of them wrong (agent 5.5)."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import numpy as np
import pytest

from limosa_agent.cli import agent
from limosa_agent.serving.pool import ServingPool
from limosa_contracts.cli import run
from tests.agent.serving.conftest import RunningPool, quick_limits
from tests.agent.serving.releases import TINY, install, tiny_plan


def infer(pool: RunningPool, *words: str) -> int:
    where = ["--url", f"http://127.0.0.1:{pool.port}", "--model", TINY]
    return run(agent, prog_name="limosa-agent", args=["infer", *words, *where])


def test_files_beside_a_wrong_one_are_answered_and_the_exit_code_says_so(
    tiny: RunningPool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 3), np.float32))
    (tmp_path / "b.json").write_text('{"inputs": {"x": [[1, 2]]}}')  # too narrow: the endpoint refuses it
    (tmp_path / "c.npy").write_bytes(b"nothing")
    np.savez(tmp_path / "d.npz", x=np.full((1, 3), 4.0))
    names = [str(tmp_path / name) for name in ("a.npy", "b.json", "c.npy", "d.npz")]
    assert infer(tiny, *names, "--json") == 2
    a, b, c, d = json.loads(capsys.readouterr().out)["results"]
    assert (a["outputs"][0]["shape"], a["outputs"][0]["data"]) == ([2, 3], [2.0] * 6)
    assert (b["error"]["code"], c["error"]["code"]) == ("LM-516", "LM-517")
    assert d["outputs"][0]["data"] == [8.0] * 3
    assert infer(tiny, *names) == 2
    said = capsys.readouterr().out
    assert "LM-517" in said
    assert "2×3" in said


def test_thousands_of_rows_of_one_file_are_answered_in_parts(
    tiny: RunningPool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.arange(9000, dtype=np.float32).reshape(3000, 3)
    np.save(tmp_path / "x.npy", rows)
    assert infer(tiny, str(tmp_path / "x.npy"), "--json") == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["outputs"][0]["shape"] == [3000, 3]
    assert np.array_equal(np.array(result["outputs"][0]["data"]).reshape(3000, 3), rows * 2)


def test_nobody_answers_is_said_once_for_all_files(tiny: RunningPool, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((1, 3), np.float32))
    words = ["infer", *[str(tmp_path / "x.npy")] * 2, "--url", "http://127.0.0.1:1", "--model", TINY]
    assert run(agent, prog_name="limosa-agent", args=words) == 6


def test_endpoint_that_is_a_unix_socket_alone_is_asked_like_any_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "infer.sock"
    np.save(tmp_path / "x.npy", np.ones((2, 3), np.float32))
    words = ["infer", str(tmp_path / "x.npy"), "--url", f"unix:{path}", "--model", TINY, "--json"]

    async def serve() -> int:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()
            pool = ServingPool(sockets=[listening], limits=quick_limits(), on_event=lambda _: None)
            await pool.start([install(tiny_plan("1.0.0"), tmp_path / "slots")])
            code = await asyncio.to_thread(run, agent, prog_name="limosa-agent", args=words)
            await pool.stop()
            return code

    assert asyncio.run(serve()) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["outputs"][0]["data"] == [2.0] * 6
    path.unlink()
    assert run(agent, prog_name="limosa-agent", args=words) == 6
    assert "LM-301" in capsys.readouterr().err


def test_another_endpoint_needs_the_name_of_its_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["infer", str(tmp_path / "x.npy"), "--url", "http://127.0.0.1:9"]
    assert run(agent, prog_name="limosa-agent", args=words) == 2
    assert "--model team/model" in capsys.readouterr().err

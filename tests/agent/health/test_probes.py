"""Probes of the operator: real programs, real HTTP, and those that must not be run (agent 4.2)."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.config import AgentConfig, is_loopback
from limosa_agent.doctor.probe_checks import probes
from limosa_agent.errors import ConfigInvalid
from limosa_agent.health.errors import ProbeUnsafe
from limosa_agent.health.probe_config import AskHttp, ProbeConfig, RunProgram
from limosa_agent.health.probe_http import ask_http, status_of
from limosa_agent.health.probe_program import run_program, safe_program
from limosa_agent.health.probes import Probes
from limosa_contracts.errors import InvalidField
from tests.support.waiting import wait_until

HEALTH = 'server = "https://x"\n[health]\nprobe_programs = ["/usr/lib/limosa/probe"]\n'
TOML = f'{HEALTH}[[probes]]\nname = "camera"\n'


def script(folder: Path, text: str) -> Path:
    path = folder / "probe"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    folder.chmod(0o755)
    return path


def run(path: Path, *words: str, timeout_s: float = 5.0) -> tuple[bool, str]:
    return asyncio.run(run_program(RunProgram(words=(str(path), *words)), timeout_s=timeout_s))


# -- programs
def test_exit_code_is_the_answer_and_what_was_said_is_kept_short(place: Path) -> None:
    assert run(script(place, "exit 0")) == (True, "")
    ok, said = run(script(place, "echo no frame for 9 s >&2; printf '\\033[2J%0500d' 7; exit 3"))
    assert not ok
    assert said.startswith("exit code 3: no frame for 9 s")
    assert len(said) < 230
    assert said.isprintable()


def test_words_are_words_and_no_shell_reads_them(place: Path) -> None:
    path = script(place, """test "$1" = '; touch /x $(id)' && test -z "$LIMOSA_SECRET\"""")
    os.environ["LIMOSA_SECRET"] = "canary"
    try:
        assert run(path, "; touch /x $(id)") == (True, "")
    finally:
        del os.environ["LIMOSA_SECRET"]


def test_a_program_runs_as_nobody_where_the_agent_is_root(place: Path) -> None:
    ok, said = run(script(place, "id -u; id -G; exit 1"))
    me = 65534 if os.geteuid() == 0 else os.geteuid()
    assert (ok, said.split()[3]) == (False, str(me))


def test_a_program_that_does_not_end_is_ended_with_all_it_started(place: Path) -> None:
    pids = place / "pids"
    pids.touch()
    pids.chmod(0o666)
    path = script(place, f"sleep 60 & echo $! $$ > {pids}; wait")
    began = time.monotonic()
    assert run(path, timeout_s=0.5) == (False, "no end within 0.5 s")
    assert time.monotonic() - began < 5
    for pid in pids.read_text().split():
        wait_until(partial(gone, int(pid)), timeout_s=5, what=f"the end of {pid}")


def test_endless_output_neither_blocks_nor_fills_memory(place: Path) -> None:
    ok, said = run(script(place, "head -c 3000000 /dev/zero; exit 4"))
    assert (ok, len(said) < 230) == (False, True)


def test_a_child_left_behind_ends_and_does_not_keep_the_question_open(place: Path) -> None:
    pid = place / "pid"
    pid.touch()
    pid.chmod(0o666)
    assert run(script(place, f"sleep 60 & echo $! > {pid}; exit 0")) == (True, "")
    wait_until(partial(gone, int(pid.read_text())), timeout_s=5, what="the end of the child")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.chmod(0o777), "others can change a probe's program"),
        (lambda path: path.chmod(0o775), "others can change a probe's program"),
        (lambda path: path.parent.chmod(0o777), "others can put another program in its place"),
        (lambda path: path.unlink(), "is not there"),
        (lambda path: (path.unlink(), path.mkdir()), "others can change a probe's program"),
    ],
    ids=["all may write", "group may write", "folder is open", "missing", "a folder"],
)
def test_a_program_that_others_can_change_is_not_run(
    place: Path, spoil: Callable[[Path], object], said: str
) -> None:
    path = script(place, f"touch {place}/it-ran")
    spoil(path)
    with pytest.raises(ProbeUnsafe, match=r"probe's program|another program"):
        safe_program(path)
    ok, why = run(path)
    assert not ok
    assert said in why
    assert not (place / "it-ran").exists()


def test_a_link_is_judged_by_where_it_leads(place: Path) -> None:
    target = script(place, "exit 0")
    link = place / "link"
    link.symlink_to(target)
    assert safe_program(link) == target.resolve()
    target.chmod(0o777)
    with pytest.raises(ProbeUnsafe):
        safe_program(link)


def test_doctor_says_which_program_is_not_safe_and_what_to_do(place: Path) -> None:
    path = script(place, "exit 0")
    text = (
        f'server = "http://127.0.0.1:1"\nstate_dir = "{place}/state"\n[health]\nprobe_programs = ["{path}"]\n'
    )
    config = AgentConfig.parse(text)
    assert probes(config).says == "none is configured"
    path.chmod(0o777)
    with pytest.raises(ProbeUnsafe) as found:
        probes(config)
    assert "chmod go-w" in found.value.hint


# -- HTTP
@contextmanager
def answering(reply: bytes, listening: socket.socket) -> Iterator[list[bytes]]:
    """Answers every connection with these bytes; what was asked is kept."""
    asked: list[bytes] = []
    ended = threading.Event()

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(4096))
                if reply:
                    connection.sendall(reply)
                else:
                    ended.wait(30)  # says nothing

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(10)


def ask(reply: bytes, *, timeout_s: float = 5.0) -> tuple[bool, str, list[bytes]]:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    question = AskHttp(host="127.0.0.1", port=port, path="/health?deep=1")
    with answering(reply, listening) as asked:
        ok, said = asyncio.run(ask_http(question, timeout_s=timeout_s))
    return ok, said, asked


def test_status_of_a_local_service_is_the_answer() -> None:
    ok, said, asked = ask(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (ok, said) == (True, "")
    assert asked[0].startswith(b"GET /health?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert ask(b"HTTP/1.0 503 Busy\r\n\r\n")[:2] == (False, "HTTP status 503")


def test_redirects_are_not_followed_and_nonsense_is_no_answer() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://203.0.113.1/\r\n\r\n"
    assert ask(moved)[:2] == (False, "HTTP status 302")
    for nonsense in (b"SSH-2.0-x\r\n", b"HTTP/1.1 OK\r\n", b"x" * 100_000):
        assert ask(nonsense)[:2] == (False, "the answer is not HTTP/1")


def test_a_service_that_says_nothing_is_given_up() -> None:
    assert ask(b"", timeout_s=0.3)[:2] == (False, "no answer within 0.3 s")


def test_nobody_listens(tmp_path: Path) -> None:
    ok, said = asyncio.run(ask_http(AskHttp(socket=str(tmp_path / "none"), path="/"), timeout_s=2))
    assert (ok, "no connection" in said) == (False, True)


def test_a_unix_socket_is_asked(tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    listening.listen()
    with answering(b"HTTP/1.1 200 OK\r\n\r\n", listening):
        question = AskHttp(socket=str(tmp_path / "s"), path="/")
        assert asyncio.run(ask_http(question, timeout_s=2)) == (True, "")


# -- when
def test_questions_run_beside_everything_else_and_never_twice(place: Path) -> None:
    path = script(place, f"echo x >> {place}/times; until test -e {place}/enough; do sleep 0.01; done")
    (place / "times").touch()
    (place / "times").chmod(0o666)
    probe = ProbeConfig(
        name="slow", question=RunProgram(words=(str(path),)), interval_s=0.05, models=("a/b",)
    )

    async def watch() -> None:
        probes = Probes([probe])
        probes.tick(["other/model"])
        await asyncio.sleep(0)
        turns = 0
        while turns < 20 or not (place / "times").read_text():
            probes.tick(["a/b"])  # the first question is not answered before the loop has gone on
            turns += 1
            await asyncio.sleep(0.01)
        assert (place / "times").read_text().count("x") == 1
        (place / "enough").touch()
        await probes.close()

    asyncio.run(watch())


# -- configuration
def test_probes_are_read() -> None:
    config = AgentConfig.parse(
        TOML + 'exec = ["/usr/lib/limosa/probe", "-q"]\nfail = 2\nof = 4\nmodels = ["a/b"]\n'
        '[[probes]]\nname = "app"\nhttp = "http://localhost:9000/health"\n'
        '[[probes]]\nname = "app2"\nhttp = "unix:/run/app.sock:/health"\n'
    )
    camera, app, app2 = config.probes
    assert camera.question == RunProgram(words=("/usr/lib/limosa/probe", "-q"))
    assert (camera.fail, camera.of, camera.watches("a/b"), camera.watches("a/c")) == (2, 4, True, False)
    assert app.question == AskHttp(host="127.0.0.1", port=9000, path="/health")
    assert app2.question == AskHttp(socket="/run/app.sock", path="/health")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "one of exec and http"),
        ('exec = ["/usr/lib/limosa/probe"]\nhttp = "http://127.0.0.1/"', "one of exec and http"),
        ('exec = "/usr/lib/limosa/probe -q"', "list"),
        ("exec = []", "a program is needed"),
        ('exec = ["/bin/sh", "-c", "id"]', "not in health.probe_programs"),
        ('http = "http://192.0.2.7/"', "this machine only"),
        ('http = "http://127.0.0.1.evil.example/"', "this machine only"),
        ('http = "http://127.0.0.1@evil.example/"', "this machine only"),
        ('http = "https://localhost/"', "this machine only"),
        ('http = "http://u:p@127.0.0.1/"', "no password"),
        ('http = "http://127.0.0.1:99999/"', "out of range"),
        ('http = "http://127.0.0.1/ HTTP/1.1\\r\\nX: y"', "printable"),
        ('http = "unix:run/app.sock:/health"', "unix:/run"),
        ('http = "http://127.0.0.1/"\nfail = 4\nof = 3', "at most"),
        ('http = "http://127.0.0.1/"\nintervall_s = 3', "interval_s"),
    ],
)
def test_probe_that_is_not_safe_or_not_clear_is_refused(lines: str, said: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        AgentConfig.parse(TOML + lines)
    assert said in f"{refused.value} {refused.value.why} {refused.value.hint}"


HOSTS = st.sampled_from(
    ["127.0.0.1", "localhost", "[::1]", "192.0.2.7", "127.0.0.1.example", "a@127.0.0.1", "127.1"]
)


@given(
    st.one_of(
        st.text(max_size=40),
        st.builds("http://{}:{}{}".format, HOSTS, st.integers(-1, 70000), st.text(max_size=20)),
        st.builds("unix:{}:{}".format, st.text(max_size=20), st.text(max_size=20)),
    )
)
def test_whatever_is_written_a_probe_asks_this_machine_and_sends_one_line(url: str) -> None:
    try:
        probe = ProbeConfig.parse({"name": "a", "http": url}, where="probe", programs=())
    except InvalidField:
        return
    question = probe.question
    assert isinstance(question, AskHttp)
    assert question.socket.startswith("/") or is_loopback(question.host)
    assert question.path.isascii()
    assert not set(question.path) & set(" \r\n")


@given(st.binary(max_size=40))
def test_any_first_line_is_a_status_or_no_http(line: bytes) -> None:
    with suppress(ValueError):
        assert 0 <= status_of(line) <= 999


def test_two_probes_of_one_name_and_relative_programs_are_refused() -> None:
    probe = '[[probes]]\nname = "a"\nhttp = "http://127.0.0.1/"\n'
    for text in (
        f'server = "https://x"\n{probe}{probe}',
        'server = "https://x"\n[health]\nprobe_programs = ["x"]',
    ):
        with pytest.raises(ConfigInvalid):
            AgentConfig.parse(text)


def gone(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return text.rpartition(")")[2].split()[0] == "Z"

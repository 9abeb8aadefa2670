"""A command's work in a process of its own, so that what ends it in a signal is told and leaves nothing.

A model that loads may still crash its runtime on a later row, take all memory there, or never answer:
native code then ends the process, or does not return to Python for an interrupt (trust 7.2, 7.5).
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from types import FrameType
from typing import Final

import click

from limosa_compiler.errors import ModelRefused
from limosa_contracts.errors import Interrupted

END_S: Final = 5.0  # for ending after an interrupt; then it is killed
PARENT_CHECK_S: Final = 1.0
_PASSED_ON: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def continue_in_own_process(what: str) -> None:
    """Returns in a child, whose exit code becomes that of the command; the parent stays here.

    Does nothing where a child could not take over: if this process has threads, or its output is an object
    of its own. Raises ModelRefused if the child dies of a signal, Interrupted if it had to be killed.
    """
    if threading.active_count() > 1 or sys.stdout is not sys.__stdout__:
        return
    folder = tempfile.mkdtemp(prefix="limosa-")
    # What is ignored stays so: `nohup` and a shell's background jobs mean it.
    watched = {signal.SIGCHLD, *(one for one in _PASSED_ON if signal.getsignal(one) is not signal.SIG_IGN)}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    parent = os.getpid()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        _become_child(parent, folder, watched)
        atexit.register(os.write, tell, b".")  # not where other code ends the process past Python
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    os.close(tell)
    try:
        interrupted = _wait_for_end(child, watched)
        _, status = os.waitpid(child, 0)
        finished = _readable(told)
    finally:
        os.close(told)
        shutil.rmtree(folder, ignore_errors=True)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    code = os.waitstatus_to_exitcode(status)
    if code >= 0 and finished:
        raise click.exceptions.Exit(code)
    if interrupted:
        raise Interrupted("interrupted")
    raise _died(code, what)


def _become_child(parent: int, folder: str, watched: set[signal.Signals]) -> None:
    """Temporary files lie in `folder`, which the parent removes; the child ends with the parent."""
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    for number in watched & {signal.SIGTERM, signal.SIGHUP}:
        signal.signal(number, _interrupt)
    atexit.register(_clear_after, parent, folder)
    threading.Thread(target=_end_with_parent, args=(parent, folder), daemon=True).start()


def _wait_for_end(child: int, watched: set[signal.Signals]) -> bool:
    """Until the child has ended, which it is asked to if this process is. Gives whether it was asked."""
    deadline: float | None = None
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        got = signal.sigwaitinfo(watched) if left is None else signal.sigtimedwait(watched, left)
        if got is None:
            os.kill(child, signal.SIGKILL)
            deadline = time.monotonic() + END_S
        elif got.si_signo != signal.SIGCHLD:
            deadline = deadline or time.monotonic() + END_S
            if got.si_pid:  # from a terminal (0) it has come to the child as well
                os.kill(child, got.si_signo)
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return deadline is not None


def _readable(pipe: int) -> bool:
    """Whether something was written, now that nobody can write any more."""
    os.set_blocking(pipe, False)  # a process that the child left behind may hold the other end
    try:
        return bool(os.read(pipe, 1))
    except BlockingIOError:
        return False


def _died(code: int, what: str) -> ModelRefused:
    if code >= 0:
        why = f"it ended in the middle, with exit code {code}"
    elif code == -signal.SIGKILL:
        why = "it was killed, as the kernel does when memory runs out"
    else:
        why = f"it died of {signal.Signals(-code).name}"
    return ModelRefused(
        "the model, or code of the recipe, ends the process that runs it",
        where=what,
        why=why,
        hint="run the rows of calibration and evaluation through it one by one to find the one that does",
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end_with_parent(parent: int, folder: str) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    _clear_after(parent, folder)
    os._exit(1)


def _clear_after(parent: int, folder: str) -> None:
    """What the parent would have removed, had it not been killed."""
    if os.getppid() != parent:
        shutil.rmtree(folder, ignore_errors=True)

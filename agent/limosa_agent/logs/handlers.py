"""Python's logging, led into the files of the log and to stderr."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from limosa_agent.config import AgentConfig
from limosa_agent.identity.identity import load_identity
from limosa_agent.logs.about import now_about
from limosa_agent.logs.files import LogFiles
from limosa_agent.logs.line import json_line, text_line
from limosa_contracts.errors import LimosaError


class LogOutput(logging.Handler):
    """Every record of this process; `device` is "" where this device has lost its identity."""

    def __init__(self, *, files: LogFiles | None, stderr: str, device: str) -> None:
        super().__init__()
        self._files = files
        self._stderr = stderr
        self._device = device

    def emit(self, record: logging.LogRecord) -> None:
        about = now_about()
        as_json = json_line(record, device=self._device, about=about)
        if self._files is not None:
            self._write(self._files, as_json, record)
        if self._stderr != "none":
            line = as_json if self._stderr == "json" else text_line(record, about=about)
            with suppress(OSError, ValueError):  # nobody reads it any more
                sys.stderr.write(line + "\n")
                sys.stderr.flush()

    def close(self) -> None:
        if self._files is not None:
            self._files.close()
        super().close()

    def _write(self, files: LogFiles, line: str, record: logging.LogRecord) -> None:
        lost = files.lost
        files.write(line)
        if lost and files.lost == lost:
            files.lost = 0
            told = logging.makeLogRecord(
                {
                    "name": __name__,
                    "levelno": logging.WARNING,
                    "levelname": "WARNING",
                    "created": record.created,
                    "msg": "%d lines of this log were lost before: the disk took none",
                    "args": (lost,),
                }
            )
            files.write(json_line(told, device=self._device, about=("", "")))


@contextmanager
def begin_log(config: AgentConfig) -> Iterator[LogOutput]:
    """Everything that this process logs within the block."""
    files = None
    if config.log.files:
        files = LogFiles(config.state_dir, files=config.log.files, file_max_bytes=config.log.file_max_bytes)
    device = ""
    with suppress(LimosaError, OSError, ValueError):  # it is told by who needs it
        device = load_identity(config.identity_dir).device
    output = LogOutput(files=files, stderr=config.log.stderr, device=device)
    root = logging.getLogger()
    root.addHandler(output)
    root.setLevel(config.log.level.upper())
    try:
        yield output
    finally:
        root.removeHandler(output)
        output.close()

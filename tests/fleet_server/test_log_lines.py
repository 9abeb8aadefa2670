"""What stands in the log of a server."""

from __future__ import annotations

import logging
import sys

import pytest

from limosa_server.cli.server import LogLines


def line(logger: str, message: str, *words: object) -> str:
    try:
        raise ValueError("the server closed the connection 100%")
    except ValueError:
        record = logging.LogRecord(logger, logging.ERROR, "", 1, message, words, sys.exc_info())
    return LogLines("%(message)s").format(record)


def test_a_connection_that_its_pool_throws_away_is_one_line() -> None:
    said = line("sqlalchemy.pool.impl.QueuePool", "reset of %s failed", "<connection 7%>")
    assert said == "reset of <connection 7%> failed: the server closed the connection 100%"


@pytest.mark.parametrize("logger", ["limosa", "sqlalchemy.engine"])
def test_what_nobody_foresaw_keeps_its_traceback(logger: str) -> None:
    assert "Traceback" in line(logger, "unforeseen")

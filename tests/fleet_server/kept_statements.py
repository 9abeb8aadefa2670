"""The engines of all tests share what SQLAlchemy makes of a statement, as all requests to one server do.

A server has one engine as long as it runs; a test makes several, and each would compile every statement
again: a third of the processor time of a test of rollouts.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Dialect, Engine, create_engine
from sqlalchemy.util import LRUCache

_FIRST: Final[dict[str, Dialect]] = {}
_COMPILED: Final[LRUCache[Any, Any]] = LRUCache(4000)


def sharing_engine(url: Any, **options: Any) -> Engine:
    """In place of `create_engine`: its dialect is that of the first engine of its kind that has connected,
    for what was compiled is kept by dialect."""
    engine = create_engine(url, **options)
    first = _FIRST.setdefault(engine.dialect.driver, engine.dialect)
    if first.server_version_info is not None:  # filled at its first connection
        engine.dialect = first
    engine.update_execution_options(compiled_cache=_COMPILED)
    return engine

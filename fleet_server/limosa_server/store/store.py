"""Opens the database, and gives transactions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeAlias

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError, OperationalError

from limosa_server.errors import StorageFull, StoreBusy, StoreDamaged
from limosa_server.store.engine import BEGIN, make_engine
from limosa_server.store.migrate import migrate
from limosa_server.store.transaction import Transaction

Listener: TypeAlias = Callable[[frozenset[str]], None]


class Store:
    """See the package's docstring for how to use it."""

    def __init__(self, engine: Engine, *, busy_timeout_s: float) -> None:
        self.engine = engine
        self._writing = engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
        self._lock = threading.Lock()
        self._busy_timeout_s = busy_timeout_s
        self._listeners: tuple[Listener, ...] = ()

    @classmethod
    def open(cls, path: Path, *, busy_timeout_s: float = 15.0) -> Self:
        """Creates or upgrades the schema. Raises StoreNewer for a database of a later version,
        StoreDamaged for what is none, StoreBusy while another program writes to it."""
        engine = make_engine(path, busy_timeout_s=busy_timeout_s)
        try:
            with _busy():
                migrate(engine)
        except OperationalError:
            raise
        except DatabaseError as error:
            engine.dispose()
            raise StoreDamaged("the database cannot be read", where=str(path), why=str(error.orig)) from error
        return cls(engine, busy_timeout_s=busy_timeout_s)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Commits at the end; an error rolls everything back. Not to be nested. Raises StoreBusy."""
        if not self._lock.acquire(timeout=self._busy_timeout_s):
            raise StoreBusy("the database is busy", why=f"no turn to write in {self._busy_timeout_s:g} s")
        try:
            with _busy(), Transaction(self._writing, expire_on_commit=False) as tx:
                yield tx
                tx.commit()
        finally:
            self._lock.release()
        if tx.announced:
            self.notify(tx.announced)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A consistent snapshot. What is added in it is an error, never silently lost."""
        with Transaction(self.engine, expire_on_commit=False, autoflush=False) as tx:
            yield tx
            if tx.new or tx.dirty or tx.deleted:
                raise AssertionError("a read transaction was written to; use Store.transaction()")

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Calls `listener` with the announced topics after each commit; gives the way to stop that."""
        self._listeners = (*self._listeners, listener)

        def stop() -> None:
            self._listeners = tuple(one for one in self._listeners if one is not listener)

        return stop

    def notify(self, topics: frozenset[str]) -> None:
        for listener in self._listeners:
            listener(topics)

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _busy() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if "locked" in str(error.orig) or "busy" in str(error.orig):
            raise StoreBusy("the database is busy", why=str(error.orig)) from error
        if "full" in str(error.orig):
            raise StorageFull("there is no room in the database", why=str(error.orig)) from error
        raise

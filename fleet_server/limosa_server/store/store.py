"""Opens the database, and gives transactions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeAlias

from sqlalchemy import Engine

from limosa_server.errors import StoreBusy
from limosa_server.store.engine import make_engine
from limosa_server.store.failures import explained, usable
from limosa_server.store.migrate import migrate
from limosa_server.store.transaction import Transaction
from limosa_server.store.transaction_kinds import for_kind

Listener: TypeAlias = Callable[[frozenset[str]], None]


class Store:
    """See the package's docstring for how to use it."""

    def __init__(self, engine: Engine, *, busy_timeout_s: float) -> None:
        self.engine = engine
        self._reading = for_kind(engine, "read")
        self._writing = for_kind(engine, "write")
        self._lock = threading.Lock()
        self._busy_timeout_s = busy_timeout_s
        self._listeners: tuple[Listener, ...] = ()

    @classmethod
    def open(cls, place: Path | str, *, busy_timeout_s: float = 15.0) -> Self:
        """Creates or upgrades the schema in a SQLite file, or in the database that a URL names.

        Raises DatabaseRefused for a URL of another kind or a database it may not work with, StoreNewer
        for one of a later version, StoreDamaged for what is none, StoreBusy while another program
        writes to it, StoreDown for one that does not answer, StorageFull.
        """
        with usable(make_engine(place, busy_timeout_s=busy_timeout_s)) as engine:
            migrate(engine)
        return cls(engine, busy_timeout_s=busy_timeout_s)

    @property
    def kind(self) -> str:
        """ "sqlite" or "postgresql"."""
        return self.engine.dialect.name

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Commits at the end; an error rolls everything back. Not to be nested.

        Raises StoreBusy, StorageFull, StoreDown; nothing of it is stored then.
        """
        if not self._lock.acquire(timeout=self._busy_timeout_s):
            raise StoreBusy("the database is busy", why=f"no turn to write in {self._busy_timeout_s:g} s")
        try:
            with explained(self.engine.url), Transaction(self._writing, expire_on_commit=False) as tx:
                yield tx
                tx.commit()
        finally:
            self._lock.release()
        if tx.announced:
            self.notify(tx.announced)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A consistent snapshot. What is added in it is an error, never silently lost.

        Raises StoreBusy, StoreDown.
        """
        with (
            explained(self.engine.url),
            Transaction(self._reading, expire_on_commit=False, autoflush=False) as tx,
        ):
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

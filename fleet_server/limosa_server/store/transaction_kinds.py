"""What a transaction is for, as its connection is told before it begins."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from sqlalchemy import Connection, Engine

Kind: TypeAlias = Literal["read", "write"]
OPTION: Final = "limosa_begin"


def for_kind(engine: Engine, kind: Kind) -> Engine:
    """The same engine and pool; its transactions are of this kind."""
    return engine.execution_options(**{OPTION: kind})


def kind_of(connection: Connection) -> Kind:
    kind: Kind = connection.get_execution_options().get(OPTION, "write")
    return kind

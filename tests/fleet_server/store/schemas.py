"""What a database looks like, in words that can be compared; and rows from one into another."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, MetaData, Table, insert, select, text

_SQLITE = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
_POSTGRESQL = {
    "column": """
        SELECT table_name || '.' || column_name,
               concat_ws(' ', data_type, is_nullable, column_default, collation_name)
        FROM information_schema.columns WHERE table_schema = 'public'""",
    "index": "SELECT tablename || '.' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "constraint": """
        SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
}
VERSIONS = "alembic_version"


def schema(engine: Engine) -> dict[str, str]:
    """name -> definition, white space, quotes and the order of columns aside; without Alembic's table."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            rows = connection.execute(text(_SQLITE)).all()
            found = {name: "".join(sorted("".join(sql.split()).replace('"', ""))) for name, sql in rows}
        else:
            found = {
                f"{kind} {name}": str(definition)
                for kind, query in _POSTGRESQL.items()
                for name, definition in connection.execute(text(query)).all()
            }
    return {name: definition for name, definition in found.items() if VERSIONS not in name}


def row_counts(engine: Engine) -> dict[str, int]:
    """By table, those that have any."""
    tables = MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        counts = {
            name: len(connection.execute(select(table)).all())
            for name, table in tables.tables.items()
            if name != VERSIONS
        }
    return {name: count for name, count in counts.items() if count}


def copy_rows(source: Engine, target: Connection) -> None:
    """Into tables of the same names and columns."""
    old, new = MetaData(), MetaData()
    old.reflect(source)
    new.reflect(target)
    with source.connect() as connection:
        for table in new.sorted_tables:
            if table.name == VERSIONS:
                continue
            rows = [dict(row._mapping) for row in connection.execute(select(old.tables[table.name]))]
            if rows:
                target.execute(insert(table), rows)
                _number_on(target, table)


def _number_on(connection: Connection, table: Table) -> None:
    """A sequence does not know of rows that came with their numbers."""
    (first, *_) = table.primary_key.columns
    sequence = f"pg_get_serial_sequence('{table.name}', '{first.name}')"
    if connection.dialect.name == "postgresql" and connection.scalar(text(f"SELECT {sequence}")):
        connection.execute(text(f"SELECT setval({sequence}, (SELECT max({first.name}) FROM {table.name}))"))

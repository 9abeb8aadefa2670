"""Settings of PostgreSQL by which it may lose what the server has acknowledged to devices (server 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Engine, text

from limosa_server.deploy.finding import Finding

DANGERS: Final = {
    "fsync": "after a power cut or a crash of the machine the database may be beyond repair",
    "full_page_writes": "a page that a power cut leaves half written cannot be repaired",
    "synchronous_commit": "a crash loses the last reports that devices were told are kept, and have deleted",
}
"""What happens when it is off, by setting."""


def check_postgresql(engine: Engine, place: str) -> Iterator[Finding]:
    """Notes, not faults: nothing is lost yet, and a drill's or a test's database may well be set so."""
    with engine.connect() as connection:
        for setting, danger in DANGERS.items():
            # As a session of the server's role sees it: it may be set for the role or the database only.
            if connection.execute(text("SELECT current_setting(:name)"), {"name": setting}).scalar() == "off":
                yield Finding(
                    bad=False,
                    what=f"{setting} is off: {danger}",
                    where=place,
                    hint=_hint(setting),
                )


def _hint(setting: str) -> str:
    again = f"ALTER SYSTEM SET {setting} = on; SELECT pg_reload_conf();"
    if setting == "synchronous_commit":
        return f"{again} where it is the role's or the database's: ALTER ROLE|DATABASE … RESET {setting}"
    return again

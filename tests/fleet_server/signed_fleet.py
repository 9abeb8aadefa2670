"""Keys, certificates and signed roles of a new fleet, made once a worker; each test has a copy.

Making and checking them is most of what a small test costs. What must not be equal to another fleet's, or
looks at the making itself, calls `running_fleet` in an empty folder: all of it is made there.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.fleet_server.databases import Database
from tests.fleet_server.world import sign_first

TEMPLATE: Final = "limosa_signed"


@dataclass(slots=True)
class SignedFleets:
    """One of each kind of database, made when it is first asked for; nobody writes to them again."""

    folder: Path
    _made: set[str] = field(default_factory=set)

    def copy(self, folder: Path, database: Database | None = None) -> str:
        """Makes `folder/offline` and `folder/data`. Gives the URL of the copy's database, for settings;
        without `database` it is SQLite, in `folder/data`."""
        kind = database.kind if database is not None else "sqlite"
        on_postgresql = database if kind == "postgresql" else None
        if kind not in self._made:
            url = on_postgresql.template(TEMPLATE) if on_postgresql is not None else ""
            sign_first(self.folder / kind, database_url=url)
            self._made.add(kind)
        for name in ("offline", "data"):
            shutil.copytree(self.folder / kind / name, folder / name)
        return on_postgresql.url(template=TEMPLATE) if on_postgresql is not None else ""

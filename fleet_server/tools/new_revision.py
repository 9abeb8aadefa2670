"""Writes the next schema revision: what the tables have and the revisions so far do not make.

    python fleet_server/tools/new_revision.py 0002 "what changes"

Read what it wrote before you commit it: a renamed column looks like one dropped and one added.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command

from limosa_server.store.engine import make_engine
from limosa_server.store.migrate import alembic_config


def main(revision: str, message: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = make_engine(Path(folder) / "empty.db", busy_timeout_s=5)
        config = alembic_config()
        config.set_main_option("file_template", "r%%(rev)s_%%(slug)s")
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.revision(config, message, autogenerate=True, rev_id=revision)
        engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

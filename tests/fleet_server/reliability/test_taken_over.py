"""Two servers, one database: the one that has lost it ends, and says why (server 1)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import psycopg

from limosa_server.store.postgresql import SERVER_LOCK
from tests.fleet_server.databases import Database
from tests.fleet_server.world import make_trust
from tests.support.postgresql import Cluster
from tests.support.processes import Processes, script

HOLDER = f"""
    SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database
    WHERE locktype = 'advisory' AND granted AND datname = current_database()
    AND (classid::bigint << 32 | objid::bigint) = {SERVER_LOCK}
"""


def test_a_server_whose_database_another_one_has_taken_over_ends(
    tmp_path: Path, processes: Processes, postgresql_cluster: Callable[[], Cluster]
) -> None:
    """Its session at the database breaks, and another server is quicker to take its place. An API and an
    ingest that went on alone would write beside the other's controller."""
    make_trust(tmp_path)
    databases = Database("postgresql", tmp_path, postgresql_cluster)
    url = str(databases.place())
    command = [
        script("limosa"), "server", "run", "--data", str(tmp_path / "data"), "--database", url, "--dev",
        "--listen", "127.0.0.1:0", "--mqtt-port", "0",
    ]  # fmt: skip
    server = processes.start(command, name="server")
    server.wait_for_log('"ready"', timeout_s=60)
    with psycopg.connect(url, autocommit=True) as other, psycopg.connect(url, autocommit=True) as admin:
        waiting = Thread(target=other.execute, args=(f"SELECT pg_advisory_lock({SERVER_LOCK})",))
        waiting.start()
        ((holder,),) = admin.execute(HOLDER).fetchall()
        assert admin.execute("SELECT pg_terminate_backend(%s)", [holder]).fetchone() == (True,)
        waiting.join(20)
        assert server.wait() == 1
        log = server.log()
        assert ("LM-623" in log, "another server works with this database" in log) == (True, True), log
        again = processes.start(command, name="again")
        assert again.wait() == 1, "it does not come back while the other one works"
        assert "LM-623" in again.log()
    last = processes.start(command, name="last")
    last.wait_for_log('"ready"', timeout_s=60)
    assert last.stop() == 0
    databases.drop()

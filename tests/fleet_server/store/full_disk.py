"""Run by `test_disk_full.py` in a mount namespace of its own: FOLDER, and POSTGRESQL or "".

Fills a small filesystem under a server, sees what it answers, makes room, and prints all of it as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text
from sqlmodel import select

from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.phases import Phase
from limosa_contracts.topics import Suffix
from limosa_server.store import Store
from limosa_server.tables.reports import EventRow
from tests.fleet_server.world import MODEL, SHA, Device, Fleet, as_batch, running_fleet
from tests.support.postgresql import Cluster, running_cluster

PAGE = 64 * 1024
LEFT = 8 * PAGE
BATCH = 12


@contextmanager
def database(folder: Path, *, postgresql: bool) -> Iterator[str]:
    """A URL; the rows of events lie on the small filesystem."""
    if not postgresql:
        yield ""
        return
    with running_cluster() as cluster:
        yield _on_small_disk(cluster, folder)


def _on_small_disk(cluster: Cluster, folder: Path) -> str:
    url = cluster.create("small")
    Store.open(url).close()
    space = folder / "space"
    space.mkdir()
    cluster.give(space)
    cluster.command(f"CREATE TABLESPACE small LOCATION '{space}'")
    cluster.command("ALTER TABLE events SET TABLESPACE small", database="small")
    cluster.command("ALTER TABLE events ALTER body SET STORAGE EXTERNAL", database="small")
    return url


def fill(folder: Path) -> None:
    """Until nothing but a little is left, then that too, in small steps."""
    with (folder / "filler").open("wb", buffering=0) as filler:
        for size in (1024 * 1024, PAGE):
            try:
                while filler.write(b"x" * size) == size:
                    continue
            except OSError:
                continue
        filler.truncate(filler.tell() - LEFT)


def report(fleet: Fleet, device: Device, access: dict[str, str], name: str) -> tuple[int, str]:
    """Status and error code of a batch of events, 2 KB each."""
    batch = [device.message(Suffix.EVENT, _event(device, f"{name} {i}")) for i in range(BATCH)]
    answer = fleet.http.post("/api/v1/device/reports", json=as_batch(*batch), headers=access)
    if answer.status_code != 200:
        device.seq -= BATCH  # none was acknowledged: they are sent again
    return answer.status_code, answer.json().get("code", "")


def _event(device: Device, key: str) -> bytes:
    return UpdateEvent(
        device=device.id, key=key, kind="update", model=MODEL, version="1.0.0", index_sha256=SHA,
        manifest_sha256="", rollout="", attempt=1, phase=Phase.COMMITTED,
        reason=Reason(code="", message="." * 2000), at=1.0, boot="b1",
    ).encode()  # fmt: skip


def main(folder: Path, *, postgresql: bool) -> dict[str, object]:
    with (
        database(folder, postgresql=postgresql) as url,
        running_fleet(folder / "server", database_url=url) as fleet,
    ):
        device = fleet.enroll()
        access = fleet.access(device)  # now: it needs a write of its own
        fill(folder)
        accepted, refused = 0, (0, "")
        while accepted < 200:
            refused = report(fleet, device, access, f"before {accepted}")
            if refused[0] != 200:
                break
            accepted += 1
        still = report(fleet, device, access, f"before {accepted}")
        pages = fleet.http.get("/healthz").status_code
        (folder / "filler").unlink()
        after = report(fleet, device, access, f"before {accepted}")
        with fleet.state.store.read() as tx:
            stored = len(tx.exec(select(EventRow.id)).all()) / BATCH
            sound = postgresql or tx.connection().execute(text("PRAGMA integrity_check")).scalar() == "ok"
    return {
        "accepted": accepted, "refused": refused, "still": still, "after": after, "stored": stored,
        "health": pages, "sound": sound,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), postgresql=sys.argv[2] == "postgresql")))

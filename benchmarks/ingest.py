"""Reports per second, committed and acknowledged: `python benchmarks/ingest.py [--quick] [--json]`.

Windows of 8 features × 32 bins (1 KB), each signed by its device; one in ten comes twice, one pair in
twenty swapped, so that devices send again from what is not acknowledged. Afterwards every total is
compared with what the devices had counted. On SQLite and on PostgreSQL (fsync on), each in two ways:

- `alone`: batches of 500 into the ingest from four clients at once, as they come over HTTPS; 60 s of its
  own time (signing is not counted).
- `mosquitto`: a real server process and its broker; a load process publishes over 16 connections for
  60 s, and counts what the server acknowledges. Broker and load share the machine's cores.

A report counts once, however often it came. `backlog_s` is the time from the end of the load to the last
acknowledgement of what was under way then and had gone out in order: what waits at the broker and in the
server. `again_s` is the time until the rest was acknowledged too: of two swapped messages the one that came
early may have to be sent again, which a device does when it has heard nothing for 2 s, then for 4 s, and so
on: that is the device's patience, not the server's work. `cpu_us` is processor time for each report: of the
server with its checkers, and in `mosquitto` of the broker; PostgreSQL's own is not in it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

from sqlalchemy import func
from sqlmodel import select

from benchmarks.bars import PACKAGES, Bar, finish, print_table
from benchmarks.fleet.report_load import Said, load
from benchmarks.fleet.reports import Signer, enrol, lossy
from benchmarks.fleet.server import Server, started_server
from limosa_contracts.report_message import ReportMessage
from limosa_server.assembly import make_state
from limosa_server.reports.ingest import Incoming
from limosa_server.reports.joined import JoinedIngest
from limosa_server.settings import ServerSettings
from limosa_server.state import Endpoints
from limosa_server.store import Store
from limosa_server.tables.reports import InboxMark, WindowRow
from tests.support.postgresql import running_cluster

RATE_BAR: Final = 5000.0
SECONDS: Final = 60.0
QUICK_SECONDS: Final = 5.0
DEVICES: Final = 2000
BATCH: Final = 500
CLIENTS: Final = 4
AHEAD: Final = 5  # messages that a device has under way
ROUND: Final = 40  # batches that are signed at once, outside the measured time
BACKLOG_BAR_S: Final = 2.0


def main(*, only: Sequence[str], quick: bool, as_json: bool) -> int:
    seconds = QUICK_SECONDS if quick else SECONDS
    rows: list[dict[str, object]] = []
    with (
        tempfile.TemporaryDirectory(prefix="limosa-ingest-") as text,
        running_cluster(durable=True) as cluster,
    ):
        for kind in ("sqlite", "postgresql"):
            for way in (alone, through_mosquitto):
                if only and not {kind, way.__name__.rpartition("_")[2]} <= set(only):
                    continue
                folder = Path(text) / f"{kind}-{way.__name__}"
                url = cluster.create(folder.name.replace("-", "_")) if kind == "postgresql" else ""
                rows.append({"database": kind, **way(folder, url, seconds)})
                print_table(rows)
    bars = [
        Bar(
            name=f"reports_per_s {row['way']} {row['database']}",
            limit=RATE_BAR, value=float(str(row["reports_per_s"])), at_least=True,
        )
        for row in rows
    ]  # fmt: skip
    for name, limit in (("wrong", 0.0), ("backlog_s", BACKLOG_BAR_S)):
        bars += [
            Bar(name=f"{name} {row['way']} {row['database']}", limit=limit, value=float(str(row[name])))
            for row in rows
        ]
    return finish(rows, bars, as_json=as_json, packages=(*PACKAGES, "paho-mqtt", "psycopg", "sqlalchemy"))


def alone(folder: Path, url: str, seconds: float) -> dict[str, object]:
    """In this process and its checkers, without a broker."""
    with started_server(folder, "--database", url, dev=True) if url else started_server(folder, dev=True):
        pass  # its keys, its schema
    data = folder / "data"
    settings = ServerSettings(data=data, database_url=url, dev=True)
    signers = enrol(settings.database, settings.trust, devices=DEVICES)
    endpoints = Endpoints(base_url="http://bench:1", mqtt_host="bench", mqtt_port=1, mqtt_tls=False)
    state = make_state(settings, endpoints, time.time)
    ingest = JoinedIngest(state, workers=None)
    acked = {signer.id: 0 for signer in signers}
    draw, spent, sent, cpu = random.Random(7), 0.0, 0, 0.0
    with ThreadPoolExecutor(CLIENTS) as clients:
        for batches in _rounds(signers, acked, draw):
            began, used = time.perf_counter(), time.process_time()
            answers = list(clients.map(ingest.take, batches))
            spent += time.perf_counter() - began
            cpu += time.process_time() - used
            sent += sum(map(len, batches))
            for one in (ack for acks in answers for ack in acks):
                acked[one.device] = max(acked[one.device], one.ack.seq)
            if spent >= seconds:
                break
    cpu += cpu_of(os.getpid()) - cpu_of(os.getpid(), below=False)  # of the checkers
    ingest.stop()
    state.deltas.stop()
    state.store.close()
    total = sum(acked.values())
    return {
        "way": "alone", "reports_per_s": round(total / spent), "messages_per_s": round(sent / spent),
        "seconds": round(spent, 1), "reports": total,
        "wrong": wrong_totals(settings.database, signers, acked), "backlog_s": 0.0, "again_s": 0.0,
        "cpu_us": round(cpu / total * 1e6),
    }  # fmt: skip


def _rounds(
    signers: Sequence[Signer], acked: dict[str, int], draw: random.Random
) -> Iterator[list[list[Incoming]]]:
    """Batches as a bad link brings them; what was not acknowledged comes again in the next round."""
    outboxes: dict[str, list[ReportMessage]] = {signer.id: [] for signer in signers}
    while True:
        arriving: list[list[Incoming]] = []
        for signer in signers:
            outbox = outboxes[signer.id]
            while outbox and outbox[0].seq <= acked[signer.id]:
                outbox.pop(0)
            while len(outbox) < AHEAD:
                outbox.append(signer.next())
            arriving.append([Incoming(device=signer.id, message=one) for one in lossy(outbox, draw)])
        # Device by device a message in turn, so that a batch is of many devices, as it is on a wire.
        mixed = [one for turn in range(2 * AHEAD) for device in arriving for one in device[turn : turn + 1]]
        yield [mixed[at : at + BATCH] for at in range(0, len(mixed), BATCH)]


def through_mosquitto(folder: Path, url: str, seconds: float) -> dict[str, object]:
    """A server process, its broker and a load process."""
    options = ("--database", url) if url else ()
    with started_server(folder, "--broker", "mosquitto", *options, dev=True) as server:
        settings = ServerSettings(data=server.data, database_url=url, dev=True)
        signers = enrol(settings.database, settings.trust, devices=DEVICES)
        before = cpu_of(server.pid)
        said = _load(server, signers, seconds)
        used = cpu_of(server.pid) - before
        acked = {signer.id: number for signer, number in zip(signers, said["acked"], strict=True)}
        total = sum(acked.values())
        return {
            "way": "mosquitto", "reports_per_s": round(said["reports_per_s"]),
            "messages_per_s": round(said["messages_per_s"]), "seconds": round(said["seconds"], 1),
            "reports": total, "wrong": wrong_totals(settings.database, signers, acked),
            "backlog_s": round(said["backlog_s"], 2), "again_s": round(said["again_s"], 2),
            "cpu_us": round(used / total * 1e6),
        }  # fmt: skip


def _load(server: Server, signers: Sequence[Signer], seconds: float) -> Said:
    """In a process of its own."""
    ours, theirs = multiprocessing.Pipe()

    def run() -> None:
        host, _, port = server.mqtt.removeprefix("mqtt://").partition(":")
        theirs.send(load(host, int(port), signers, seconds))

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    theirs.close()
    said: Said = ours.recv()
    child.join()
    return said


def cpu_of(pid: int, *, below: bool = True) -> float:
    """Seconds of processor time of a process and, unless not `below`, of all below it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    if not below:
        return used
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    children = [child for thread in threads for child in thread.read_text().split()]
    return used + sum(cpu_of(int(child)) for child in children)


def wrong_totals(place: Path | str, signers: Sequence[Signer], acked: Mapping[str, int]) -> int:
    """Devices of which less is committed than was acknowledged, or of which the database holds another
    number of inferences than they had counted up to what is committed."""
    store = Store.open(place)
    with store.read() as tx:
        query = select(WindowRow.device, func.sum(WindowRow.n)).group_by(WindowRow.device)
        stored = {device: int(total) for device, total in tx.exec(query)}
        committed = {row.device: row.mark for row in tx.exec(select(InboxMark))}
    store.close()
    return sum(
        committed.get(signer.id, 0) < acked[signer.id]
        or stored.get(signer.id, 0) != signer.inferences(committed.get(signer.id, 0))
        for signer in signers
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[], help="of: sqlite postgresql alone mosquitto")
    parser.add_argument("--quick", action="store_true", help="5 s each")
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    sys.exit(main(only=words.only, quick=words.quick, as_json=words.json))

"""One of the processes that check reports. `python -m limosa_server.reports.check_worker FD MAX_BYTES`"""

from __future__ import annotations

import gc
import signal
import sys
from multiprocessing.connection import Connection

from limosa_server.reports.check_wire import pack_verdicts, read_claims
from limosa_server.reports.checking import check


def main(descriptor: int, max_bytes: int) -> None:
    """Answers until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server is told, and ends its workers
    gc.freeze()
    connection = Connection(descriptor)
    while True:
        try:
            items = read_claims(connection.recv_bytes())
        except EOFError:
            return
        connection.send_bytes(pack_verdicts(check(items, max_bytes)))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

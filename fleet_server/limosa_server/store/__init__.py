"""The database: SQLite in WAL mode, every commit durable (server 2).

How to use it
-------------
    from limosa_server.store import Store, Transaction

    store = Store.open(path)                  # migrates to the newest schema first
    with store.transaction() as tx:           # BEGIN IMMEDIATE; commits at the end, rolls back on raise
        device = tx.get(Device, "dev-1")      # `tx` is a sqlmodel Session
        tx.add(DeviceLabel(device="dev-1", key="site", value="lab"))
        tx.exec(select(Device).where(Device.state == DeviceState.ACTIVE)).all()
        audit.record(tx, at=now, actor="token ci", action="device.label", object="device dev-1", after={…})
        outbox.publish(tx, at=now, topic=…, payload=…, retain=True)   # sent after the commit
        tx.announce("devices", "device dev-1")                 # told to listeners after the commit
    with store.read() as tx:                  # a consistent snapshot; writing in it is an error
        …
    unsubscribe = store.listen(lambda topics: …)   # called after commits, in the committing thread

One writer at a time (a lock in the process, then SQLite's); readers never wait. Keep transactions
short: no network, no file, no signature inside where it can be outside. Rows that left their
transaction keep their loaded values. Times are Unix seconds (float). Tables, in `limosa_server.tables`:
  devices: devices, device_labels, device_models, device_certificates
  access:  enrollment_tokens, api_tokens, assertion_jtis, audit
  releases: releases, variants, repository_blobs, repository_tags, tuf_roles
  reports: inbox_marks, events, windows, refused_reports, outbox
  rollouts (groups.py, rollouts.py): groups, memberships, rollouts, waves, executions, decisions,
  desired_documents
A new table module is imported in `tables/__init__.py`, which both the migrations and tests read.
"""

from limosa_server.store.store import Store
from limosa_server.store.transaction import Transaction

__all__ = ["Store", "Transaction"]

"""Secrets that a fleet handles are looked for wherever something is written or answered (trust 7.4)."""

from __future__ import annotations

import base64
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text

from limosa_server.access.roles import Role
from limosa_server.store import Store
from tests.fleet_server.world import Fleet

CANARY = "canary-7f3a9c-do-not-tell"
HOOK_CANARY = "hook-4d1e77-do-not-tell"
"""Part of a webhook's URL, which has to be stored, and is told to nobody."""
PAGES = ("/", "/rollouts", "/devices", "/releases", "/alerts")


def hidden(fleet: Fleet) -> dict[str, bytes]:
    """What nobody may find again: private keys, tokens, and the words of careless people."""
    keys = {
        path.name: b"".join(path.read_bytes().splitlines()[1:-1])
        for path in (fleet.state.settings.trust / "keys").glob("*.pem")
    }
    return {**keys, "canary": CANARY.encode()}


def every_list(fleet: Fleet) -> list[str]:
    """Whatever can be read without naming anything."""
    paths = fleet.http.get("/api/v1/openapi.json").json()["paths"]
    plain = [path for path, methods in paths.items() if "get" in methods and "{" not in path]
    assert len(plain) > 20
    return ["/api/v1/openapi.json", *plain]


def with_a_webhook(fleet: Fleet) -> bytes:
    """The secret that its messages are signed with, shown once."""
    object.__setattr__(fleet.state.settings, "webhook_hosts", ("127.0.0.1",))
    body = {"name": "hook", "url": f"http://127.0.0.1:9/{HOOK_CANARY}"}
    answer = fleet.http.post("/api/v1/webhooks", json=body, headers=fleet.headers())
    assert answer.status_code == 201, answer.text
    assert HOOK_CANARY not in answer.text
    return str(answer.json()["secret"]).rpartition("_")[2].encode()


def everything_written(fleet: Fleet, folder: Path) -> bytes:
    """Every column of every row, and every file of the data folder but the keys themselves."""
    store: Store = fleet.state.store
    found = [path.read_bytes() for path in folder.rglob("*") if path.is_file() and "trust" not in path.parts]
    with store.read() as tx:
        connection = tx.connection()
        for table in inspect(connection).get_table_names():
            found += [repr(row).encode() for row in connection.execute(text(f'SELECT * FROM "{table}"'))]
    return b"\n".join(found)


def test_no_secret_is_in_a_log_an_error_a_metric_an_audit_row_or_the_database(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = fleet.token(Role.OPERATOR)
    secret = token.partition(".")[2]
    enrol = fleet.enroll_token()
    hook = with_a_webhook(fleet)
    answers = careless(fleet, token, enrol)
    admin = fleet.headers()
    answers += [fleet.http.get(path, headers=admin).content for path in every_list(fleet)]
    assert fleet.http.post("/login", data={"token": fleet.token(Role.ADMIN)}).status_code == 303
    shown = [fleet.http.get(path) for path in PAGES]
    assert {page.status_code for page in shown} == {200}
    answers += [page.content for page in shown]
    told = b"\n".join(answers) + caplog.text.encode()
    written = everything_written(fleet, fleet.state.settings.data)
    wanted = hidden(fleet) | {
        "api token": secret.encode(),
        "enrolment token": enrol.partition(".")[2].encode(),
        "webhook's secret": hook,
    }
    assert HOOK_CANARY.encode() not in told
    for name, value in wanted.items():
        for form in (value, base64.b64encode(value)):
            assert form not in written, f"{name} is stored"
            assert form not in told, f"{name} is told"
    assert not re.search(rb"-----BEGIN [A-Z ]*PRIVATE KEY", told + written)


def careless(fleet: Fleet, token: str, enrol: str) -> list[bytes]:
    """Secrets where they do not belong: wrong header, wrong place, half of a token, a URL."""
    bad: list[dict[str, Any]] = [
        {"headers": {"Authorization": f"Bearer lmp_abcdefghijkl.{CANARY}"}},
        {"headers": {"Authorization": f"Basic {base64.b64encode(f'x:{CANARY}'.encode()).decode()}"}},
        {"headers": {"Authorization": CANARY}},
        {"headers": {"Authorization": f"Bearer {token}", "X-Password": CANARY}},
        {"headers": {"Cookie": f"limosa={CANARY}"}},
    ]
    said = [fleet.http.get("/api/v1/devices", **one).content for one in bad]
    said.append(fleet.http.post("/api/v1/enroll", json={"token": f"lmt_abc.{CANARY}", "csr": CANARY}).content)
    said.append(
        fleet.http.post(
            "/api/v1/device/token", data={"grant_type": "x", "client_assertion": f"{CANARY}.{CANARY}.x"}
        ).content
    )
    said.append(fleet.http.post("/api/v1/enroll", json={"token": enrol, "csr": "no request"}).content)
    return said

"""Finding devices, and changing many of them at once by CSV."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from limosa_contracts.errors import InvalidField, TooLarge
from limosa_contracts.json_value import JsonObject
from limosa_server.access.roles import Role
from limosa_server.cli.device_csv import merged, split
from limosa_server.fleet import csv_cells
from limosa_server.fleet.labels import DEVICE, set_many
from limosa_server.fleet.membership import follow
from limosa_server.tables.devices import Device as DeviceRow
from limosa_server.tables.devices import DeviceLabel
from limosa_server.tables.groups import Membership
from tests.fleet_server.fleet.conftest import Limosa
from tests.fleet_server.fleet.counting import counted
from tests.fleet_server.world import Fleet

NASTY = '=HYPERLINK("http://evil","click")'


def add(fleet: Fleet, count: int, **fields: Any) -> list[str]:
    with fleet.state.store.transaction() as tx:
        names = [f"r{i:03}" for i in range(count)]
        tx.add_all([DeviceRow(id=name, enrolled_at=1e9 + i, **fields) for i, name in enumerate(names)])
        tx.flush()
        set_many(
            tx, {name: {"site": "hq" if i % 2 else "lab"} for i, name in enumerate(names)}, source=DEVICE
        )
        follow(tx, names, now=fleet.clock.now)
    return names


def ids(fleet: Fleet, **query: Any) -> list[str]:
    """Over all pages."""
    found: list[str] = []
    cursor = ""
    while True:
        answer = fleet.http.get(
            "/api/v1/devices",
            params={**query, "cursor": cursor, "limit": query.get("limit", 3)},
            headers=fleet.headers(Role.VIEWER),
        )
        assert answer.status_code == 200, answer.text
        found += [one["id"] for one in answer.json()["items"]]
        cursor = answer.json()["next"]
        if not cursor:
            return found


def upload(fleet: Fleet, text: str, *, role: Role = Role.OPERATOR, **query: Any) -> dict[str, Any]:
    answer = fleet.http.post(
        "/api/v1/devices:import",
        content=text.encode(),
        params=query,
        headers={**fleet.headers(role), "Content-Type": "text/csv"},
    )
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def export(fleet: Fleet, **query: Any) -> list[dict[str, str]]:
    answer = fleet.http.get("/api/v1/devices:export", params=query, headers=fleet.headers(Role.VIEWER))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_devices_are_found_by_what_is_known_of_them_in_any_order_and_page_by_page(fleet: Fleet) -> None:
    names = add(fleet, 8)
    with fleet.state.store.transaction() as tx:
        for name, seen in (("r003", 500.0), ("r005", 900.0), ("r006", 500.0)):
            tx.get_one(DeviceRow, name).last_seen = seen
        tx.get_one(DeviceRow, "r002").state = "decommissioned"
        tx.get_one(DeviceRow, "r004").profile = "rpi4"
        tx.get_one(DeviceRow, "r001").online = True
    assert ids(fleet) == [name for name in names if name != "r002"]
    assert ids(fleet, state="all") == names
    assert ids(fleet, state="decommissioned") == ["r002"]
    assert ids(fleet, state="online") == ["r001"]
    assert ids(fleet, selector="site in (hq),site!=lab") == ["r001", "r003", "r005", "r007"]
    assert ids(fleet, label="site=lab", q="r00") == ["r000", "r004", "r006"]
    assert ids(fleet, q="rpi") == ["r004"]
    latest = ids(fleet, sort="last_seen", order="desc", limit=2)
    assert latest[:3] == ["r005", "r003", "r006"]
    assert sorted(latest) == [name for name in names if name != "r002"]
    assert ids(fleet, sort="enrolled_at", order="desc", limit=2) == sorted(latest, reverse=True)
    assert sorted(ids(fleet, sort="profile", limit=1)) == sorted(latest)
    for query in ({"selector": "site in ("}, {"sort": "last_seen", "cursor": "cjAwMQ"}, {"sort": "nothing"}):
        bad = fleet.http.get("/api/v1/devices", params=query, headers=fleet.headers())
        assert bad.status_code == 422, query


def test_a_page_of_the_inventory_asks_as_much_for_one_device_as_for_a_hundred(fleet: Fleet) -> None:
    add(fleet, 120)
    headers = fleet.headers(Role.VIEWER)
    asked = []
    for limit in (1, 100):
        fleet.http.get("/api/v1/devices", params={"limit": limit}, headers=headers)
        with counted(fleet.state.store) as statements:
            fleet.http.get("/api/v1/devices", params={"limit": limit}, headers=headers)
        asked.append(len(statements))
    assert asked[0] == asked[1]


def test_what_was_exported_is_imported_and_changes_nothing(fleet: Fleet) -> None:
    add(fleet, 3, serial=NASTY)
    fleet.http.post("/api/v1/groups", json={"name": "pilot", "devices": ["r001"]}, headers=fleet.headers())
    fleet.http.post(
        "/api/v1/groups", json={"name": "by-site", "selector": "site=hq"}, headers=fleet.headers()
    )
    rows = export(fleet)
    assert [row["label.site"] for row in rows] == ["lab", "hq", "lab"]
    assert [row["groups"] for row in rows] == ["", "pilot", ""]
    assert {row["serial"] for row in rows} == {f"'{NASTY}"}
    text = fleet.http.get("/api/v1/devices:export", headers=fleet.headers()).text
    said = upload(fleet, text)
    assert (said["applied"], said["rows"], said["changed"], said["wrong"]) == (True, 3, 0, 0)
    assert [row["device"] for row in export(fleet, selector="site=hq")] == ["r001"]


def test_an_import_is_tried_first_applied_once_and_the_second_time_changes_nothing(fleet: Fleet) -> None:
    add(fleet, 3)
    for group in ("pilot", "old"):
        fleet.http.post("/api/v1/groups", json={"name": group}, headers=fleet.headers())
    fleet.http.post("/api/v1/groups/old/devices", json={"devices": ["r000"]}, headers=fleet.headers())
    fleet.http.post(
        "/api/v1/groups", json={"name": "attic", "selector": "site=attic"}, headers=fleet.headers()
    )
    text = "device;label.site;label.tier;groups\r\nr000;attic;;pilot\r\nr001;;gold;\r\n"
    tried = upload(fleet, text, dry_run=True)
    assert (tried["applied"], tried["changed"]) == (False, 2)
    assert tried["changes"][0] == {
        "row": 2, "device": "r000", "set": {"site": "attic"}, "removed": [], "joins": ["pilot"],
        "leaves": ["old"],
    }  # fmt: skip
    assert members(fleet, "r000") == ["old"]
    assert upload(fleet, text)["applied"]
    assert members(fleet, "r000") == ["attic", "pilot"]
    assert upload(fleet, text)["changed"] == 0
    back = upload(fleet, "device,label.site\nr000,\n")
    assert back["changes"][0]["removed"] == ["site"]
    with fleet.state.store.read() as tx:
        assert tx.get_one(DeviceLabel, ("r000", "site")).value == "lab"  # what the device says itself
    audited = fleet.http.get("/api/v1/audit", headers=fleet.headers()).json()["items"]
    assert [row["after"]["changed"] for row in audited if row["action"] == "device.import"] == [2, 1]


def members(fleet: Fleet, device: str) -> list[str]:
    with fleet.state.store.read() as tx:
        return sorted(tx.exec(select(Membership.group).where(Membership.device == device)))


def test_one_wrong_row_is_named_and_nothing_is_applied(fleet: Fleet) -> None:
    add(fleet, 2)
    fleet.http.post("/api/v1/groups", json={"name": "sel", "selector": "site=hq"}, headers=fleet.headers())
    said = upload(fleet, (
        "device,label.site,groups\n"
        "r000,attic,\n"
        "ghost,attic,\n"
        "r001,-bad-,\n"
        "r000,attic,\n"
        "R/1,attic,\n"
        "r001,attic,sel\n"
    ))  # fmt: skip
    assert not said["applied"]
    assert [(one["row"], one["column"]) for one in said["errors"]] == [
        (3, "device"), (4, "label.site"), (5, "device"), (6, "device"), (7, "groups"),
    ]  # fmt: skip
    assert export(fleet)[0]["label.site"] == "lab"


def test_devices_that_are_not_there_get_tokens_once_and_come_in_with_labels_and_group(fleet: Fleet) -> None:
    fleet.http.post("/api/v1/groups", json={"name": "pilot"}, headers=fleet.headers())
    text = "device,serial,label.site,groups\nkiosk-1,SN-1,hq,pilot\nkiosk-2,,lab,\n"
    assert upload(fleet, text)["wrong"] == 2  # without --enroll they are mistakes
    said = upload(fleet, text, enroll=True)
    assert (said["applied"], said["new"]) == (True, 2)
    tokens = {one["device"]: one["token"] for one in said["tokens"]}
    again = upload(fleet, text, enroll=True)
    assert (again["new"], again["waiting"], again["tokens"]) == (0, 2, [])
    device = fleet.enroll(tokens["kiosk-1"], serial="SN-1")
    assert device.id == "kiosk-1"
    assert members(fleet, "kiosk-1") == ["pilot"]
    assert export(fleet)[0]["label.site"] == "hq"
    assert upload(fleet, text, enroll=True)["waiting"] == 1
    with fleet.state.store.read() as tx:
        assert tx.get(DeviceRow, "kiosk-2") is None


def test_the_commands_list_export_and_import(
    fleet: Fleet, limosa: Limosa, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(fleet, 4)
    assert limosa("device", "list", "--selector", "site=hq", "--sort", "enrolled_at", "--order", "desc") == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == ["DEVICE", "r003", "r001"]
    assert limosa("device", "list", "--columns", "device,serial,label.site") == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["DEVICE", "SERIAL", "LABEL.SITE"]
    assert limosa("device", "export", "--search", "r00") == 0
    file = tmp_path / "devices.csv"
    file.write_text(capsys.readouterr().out.replace(",lab\r\n", ",attic\r\n"))
    assert limosa("device", "import", file, "--dry-run") == 0
    assert capsys.readouterr().out == "2 of 4 devices would change\n"
    assert limosa("device", "import", file) == 0
    assert capsys.readouterr().out == "2 of 4 devices changed\n"
    file.write_text("device,label.site\nghost,x\n")
    assert limosa("device", "import", file) == 1
    assert "nothing was changed" in capsys.readouterr().out
    file.write_text("device,label.site\nnew-1,x\n")
    assert limosa("device", "import", file, "--enroll", "--json") == 0
    assert json.loads(capsys.readouterr().out)["tokens"][0]["device"] == "new-1"


def test_a_viewer_imports_nothing(fleet: Fleet) -> None:
    answer = fleet.http.post(
        "/api/v1/devices:import", content=b"device\n", headers=fleet.headers(Role.VIEWER)
    )
    assert answer.status_code == 403


MARKS = [mark for mark in csv_cells.FORMULA if mark.strip()]
CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12).map(str.strip)


BEGUN: st.SearchStrategy[str] = st.builds(str.__add__, st.sampled_from(MARKS), CELLS)
ROWS = st.lists(st.lists(BEGUN | CELLS, min_size=3, max_size=3), max_size=5)


@given(ROWS)
def test_no_cell_is_a_formula_and_every_one_comes_back(rows: list[list[str]]) -> None:
    text = "".join(csv_cells.written([["a", "b", "c"], *rows]))
    for row in csv.reader(io.StringIO(text)):
        assert not any(cell.startswith(csv_cells.FORMULA) for cell in row)
    _, lines = csv_cells.parse(text.encode())
    kept = [row for row in rows if any(csv_cells.shown(cell).strip() for cell in row)]
    assert [list(line.cells.values()) for line in lines] == kept


@pytest.mark.parametrize(
    "data",
    [b"", b"a,a\n", b"a,b\n1\n", b"a\n" + b"x" * 1025, b"\xff\xfe", b"a\n\0\n", b'a\n"x', b"a," * 200],
)
def test_what_is_no_table_is_refused(data: bytes) -> None:
    with pytest.raises((InvalidField, TooLarge)):
        csv_cells.parse(data)


def test_a_file_of_more_rows_than_the_server_takes_at_once_is_sent_in_parts() -> None:
    rows = csv_cells.ROWS_MAX + 5
    data = b"device,label.site\n" + b"".join(b"d%d,hq\n" % i for i in range(rows))
    parts = split(data)
    assert [len(csv_cells.parse(part)[1]) for part in parts] == [csv_cells.ROWS_MAX, 5]
    with pytest.raises(TooLarge):
        csv_cells.parse(data)
    none: JsonObject = {"changes": [], "errors": [], "tokens": []}
    said: JsonObject = {**none, "applied": True, "rows": 2, "changed": 1, "new": 0, "waiting": 0, "wrong": 0}
    assert merged([said, said])["rows"] == 4

"""Push and pull as the OCI distribution API has it; stock skopeo too (server 5)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from limosa_contracts.oci import INDEX, MANIFEST, digest_of
from limosa_server.access.roles import Role
from limosa_server.settings import ServerLimits
from tests.fleet_server.publishing import make_blobs, push, push_blob, push_manifest
from tests.fleet_server.world import MODEL, Fleet, running_fleet
from tests.support.programs import require_program

DATA = bytes(range(256)) * 40


def blob_url(data: bytes) -> str:
    return f"/v2/{MODEL}/blobs/{digest_of(data)}"


def test_a_blob_comes_back_whole_and_in_ranges(fleet: Fleet) -> None:
    headers = fleet.headers(Role.PUBLISHER)
    push_blob(fleet.http, headers, DATA)
    whole = fleet.http.get(blob_url(DATA), headers=headers)
    assert (whole.content, whole.headers["etag"]) == (DATA, f'"{digest_of(DATA)}"')
    part = fleet.http.get(blob_url(DATA), headers={**headers, "Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, DATA[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(DATA)}"
    rest = fleet.http.get(blob_url(DATA), headers={**headers, "Range": "bytes=10000-"})
    assert rest.content == DATA[10000:]
    beyond = fleet.http.get(blob_url(DATA), headers={**headers, "Range": f"bytes={len(DATA)}-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "LM-602")
    known = fleet.http.get(blob_url(DATA), headers={**headers, "If-None-Match": whole.headers["etag"]})
    assert known.status_code == 304
    head = fleet.http.head(blob_url(DATA), headers=headers)
    assert (head.content, head.headers["content-length"]) == (b"", str(len(DATA)))


def test_a_report_that_a_team_pushed_never_runs_as_a_page_of_the_server(fleet: Fleet) -> None:
    """Whoever is signed in and follows a link to it would lend it their session."""
    headers, page = fleet.headers(Role.PUBLISHER), b"<!DOCTYPE html><script>alert(1)</script>"
    push_blob(fleet.http, headers, page)
    answer = fleet.http.get(blob_url(page), headers={**headers, "Accept": "text/html"})
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_a_device_pulls_with_its_access_token_and_nobody_without_one(fleet: Fleet) -> None:
    push_blob(fleet.http, fleet.headers(Role.PUBLISHER), DATA)
    access = fleet.access(fleet.enroll())
    assert fleet.http.get(blob_url(DATA), headers=access).content == DATA
    assert fleet.http.get(blob_url(DATA)).status_code == 401
    assert fleet.http.post(f"/v2/{MODEL}/blobs/uploads/", headers=access).status_code in (401, 403)


def test_a_blob_in_chunks(fleet: Fleet) -> None:
    headers = fleet.headers(Role.PUBLISHER)
    begun = fleet.http.post(f"/v2/{MODEL}/blobs/uploads/", headers=headers).headers["location"]
    first = fleet.http.patch(begun, content=DATA[:5000], headers={**headers, "Content-Range": "0-4999"})
    assert (first.status_code, first.headers["range"]) == (202, "0-4999")
    wrong = fleet.http.patch(begun, content=b"x", headers={**headers, "Content-Range": "4-4"})
    assert wrong.status_code == 416
    assert fleet.http.get(begun, headers=headers).headers["range"] == "0-4999"
    assert fleet.http.patch(begun, content=DATA[5000:], headers=headers).status_code == 202
    done = fleet.http.put(begun, params={"digest": digest_of(DATA)}, headers=headers)
    assert done.status_code == 201
    assert fleet.http.get(blob_url(DATA), headers=headers).content == DATA


def test_a_blob_with_another_digest_than_announced_is_not_kept(fleet: Fleet, tmp_path: Path) -> None:
    headers = fleet.headers(Role.PUBLISHER)
    begun = fleet.http.post(f"/v2/{MODEL}/blobs/uploads/", headers=headers).headers["location"]
    answer = fleet.http.put(begun, params={"digest": digest_of(b"other")}, content=DATA, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "LM-202")
    assert fleet.http.head(blob_url(DATA), headers=headers).status_code == 404
    assert not list((tmp_path / "data" / "blobs" / "uploads").iterdir())


def test_a_blob_over_the_limit_is_refused_while_it_streams(tmp_path: Path) -> None:
    with running_fleet(tmp_path, ServerLimits(blob_max_bytes=1000)) as fleet:
        headers = fleet.headers(Role.PUBLISHER)
        begun = fleet.http.post(f"/v2/{MODEL}/blobs/uploads/", headers=headers).headers["location"]
        answer = fleet.http.put(begun, params={"digest": digest_of(DATA)}, content=DATA, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "LM-412")
        assert not list((tmp_path / "data" / "blobs" / "uploads").iterdir())


def test_a_manifest_that_refers_to_what_was_not_pushed_is_refused(fleet: Fleet) -> None:
    headers, blobs = fleet.headers(Role.PUBLISHER), make_blobs(b"1")
    answer = push_manifest(fleet.http, headers, blobs.manifest, MANIFEST)
    assert (answer.status_code, answer.json()["code"]) == (404, "LM-604")
    push(fleet.http, headers, blobs)
    assert push_manifest(fleet.http, headers, blobs.index, INDEX, "1.0.0").status_code == 201
    pulled = fleet.http.get(f"/v2/{MODEL}/manifests/1.0.0", headers=headers)
    assert (pulled.content, pulled.headers["content-type"]) == (blobs.index, INDEX)
    assert fleet.http.get(f"/v2/{MODEL}/tags/list", headers=headers).json()["tags"] == ["1.0.0"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"schemaVersion":2}', b"\xff\xfe"])
def test_a_malformed_manifest_is_the_callers_mistake(fleet: Fleet, body: bytes) -> None:
    answer = push_manifest(fleet.http, fleet.headers(Role.PUBLISHER), body, MANIFEST)
    assert 400 <= answer.status_code < 500
    assert answer.json()["code"].startswith("LM-")


def test_another_teams_publisher_and_a_viewer_cannot_push(fleet: Fleet) -> None:
    stranger = {"Authorization": f"Bearer {fleet.token(Role.PUBLISHER, team='vision')}"}
    for headers in (stranger, fleet.headers(Role.VIEWER), fleet.headers(Role.OPERATOR)):
        answer = fleet.http.post(f"/v2/{MODEL}/blobs/uploads/", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "LM-401")


def test_stock_skopeo_pulls_and_pushes(fleet: Fleet, tmp_path: Path) -> None:
    skopeo = require_program("skopeo")
    token = fleet.token(Role.PUBLISHER)
    headers = {"Authorization": f"Bearer {token}"}
    blobs = make_blobs(b"skopeo")
    push(fleet.http, headers, blobs)
    assert push_manifest(fleet.http, headers, blobs.index, INDEX, "1.0.0").status_code == 201
    server = f"docker://127.0.0.1:{fleet.http.base_url.port}"
    layout = tmp_path / "layout"

    def copy(source: str, target: str, *options: str) -> None:
        command = [skopeo, "copy", "--all", "--preserve-digests", *options, source, target]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    source = ("--src-tls-verify=false", "--src-creds", f"any:{token}")
    copy(f"{server}/{MODEL}:1.0.0", f"oci:{layout}:x", *source)
    assert (layout / "blobs" / "sha256" / digest_of(blobs.index)[7:]).read_bytes() == blobs.index
    copy(
        f"oci:{layout}:x", f"{server}/demo/other:2", "--dest-tls-verify=false", "--dest-creds", f"any:{token}"
    )
    pulled = fleet.http.get("/v2/demo/other/manifests/2", headers=headers)
    assert pulled.content == blobs.index

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from limosa_compiler.trust.errors import RedirectRefused, ServerRefused, TokenUnusable
from limosa_compiler.trust.server_client import FleetServer, Overtaken, check_url
from limosa_contracts.errors import (
    InvalidField,
    LimosaError,
    LinkLost,
    NotAuthenticated,
    NotAuthorised,
    Unreachable,
)
from tests.compiler.trust.conftest import QUICK, Fleet
from tests.support.hostile_server import (
    Answering,
    Trick,
    cut_off_at,
    dripping,
    endless,
    gzipped,
    hostile_server,
    redirect_to,
    silent,
)
from tests.support.ports import free_port
from tests.support.publish_server import TOKEN

SECRET = TOKEN.partition(".")[2]


def get_role(fleet: Fleet, *, token: str = TOKEN) -> tuple[int, bytes]:
    with FleetServer(url=fleet.url, token=token, limits=QUICK) as server:
        return server.role("demo", "demo-bins-0")


def test_role_comes_with_its_version_and_an_unknown_one_is_version_0(fleet: Fleet) -> None:
    version, data = get_role(fleet)
    assert version == fleet.store.version("demo-bins-0") > 0
    assert data
    with fleet.server() as server:
        assert server.role("demo", "demo-bins-zz") == (0, b"")


def test_role_that_somebody_else_changed_is_not_replaced(fleet: Fleet) -> None:
    before = dict(fleet.store.roles)
    with fleet.server() as server, pytest.raises(Overtaken):
        server.put_role("demo", "demo-bins-0", before["demo-bins-0"], seen=1)
    assert fleet.store.roles == before


def test_nobody_listens() -> None:
    with (
        FleetServer(url=f"http://127.0.0.1:{free_port()}", token=TOKEN, limits=QUICK) as server,
        pytest.raises(Unreachable) as caught,
    ):
        server.role("demo", "demo")
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("status, error, exit_code", [
    (401, NotAuthorised, 4), (403, NotAuthorised, 4), (404, ServerRefused, 2), (409, ServerRefused, 2),
    (422, ServerRefused, 2), (500, ServerRefused, 2), (503, Unreachable, 6), (302, RedirectRefused, 5),
    (307, RedirectRefused, 5), (204, ServerRefused, 2),
])  # fmt: skip
def test_each_refusal_is_a_coded_error(
    fleet: Fleet, status: int, error: type[LimosaError], exit_code: int
) -> None:
    fleet.store.refuse = lambda method, path: status
    with fleet.server() as server, pytest.raises(error) as caught:
        server.request("PUT", "/api/v1/teams/demo/metadata", content=b"{}")
    assert caught.value.exit_code == exit_code
    tries = QUICK.tries if status == 503 else 1
    assert len(fleet.store.requests) == tries
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + repr(caught.value.as_json())


def test_token_that_the_server_does_not_know(fleet: Fleet) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        get_role(fleet, token="lmp_abcdefghijkl." + "t" * 43)
    assert caught.value.exit_code == 4


def test_link_that_breaks_once_is_tried_again_and_always_is_given_up(fleet: Fleet) -> None:
    fleet.store.refuse = lambda method, path: 0 if len(fleet.store.requests) == 1 else None
    assert get_role(fleet)[0] > 0
    fleet.store.refuse = lambda method, path: 0
    with pytest.raises(LinkLost) as caught:
        get_role(fleet)
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("token", ["", "lmp_x", "lmt_abcdefghijkl." + "s" * 43, TOKEN + "\r\nX: y"])
def test_text_that_is_no_token_is_never_sent(fleet: Fleet, token: str) -> None:
    with pytest.raises(TokenUnusable) as caught:
        get_role(fleet, token=token)
    assert fleet.store.requests == []
    assert caught.value.exit_code == 4
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "fleet.example.com",
        "ftp://x",
        "http://fleet.example.com",
        "https://",
        "https://u:p@x",
        "http://[::2]",
    ],
)
def test_address_to_which_no_token_is_given(url: str) -> None:
    with pytest.raises(InvalidField):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["https://fleet.example.com/", "http://127.0.0.1:8443", "http://[::1]:1", "http://localhost"]
)
def test_address_of_a_server(url: str) -> None:
    assert check_url(url) == url.rstrip("/")


def test_upload_location_on_another_host_is_refused(fleet: Fleet) -> None:
    with fleet.server() as server:
        assert server.own_url("/v2/x?state=1") == f"{fleet.url}/v2/x?state=1"
        for location in ("http://elsewhere.example/v2/x", "//elsewhere.example/x", "http://127.0.0.1:1/x"):
            with pytest.raises(RedirectRefused):
                server.own_url(location)


def test_ca_file_that_holds_no_certificate(tmp_path: Path) -> None:
    rubbish = tmp_path / "ca.pem"
    rubbish.write_text("rubbish")
    for path in (rubbish, tmp_path / "none.pem"):
        with pytest.raises(InvalidField):
            FleetServer(url="https://localhost", token=TOKEN, ca=path)


def etag(value: str) -> Trick:
    def trick(answering: Answering) -> None:
        answering.head(200, ("ETag", value), ("Content-Length", "2"))
        answering.body(b"{}")

    return trick


@pytest.mark.parametrize(
    "trick, error",
    [
        (etag('"\xb2"'), ServerRefused),
        (etag('"-1"'), ServerRefused),
        (etag(""), ServerRefused),
        (endless, ServerRefused),
        (gzipped, ServerRefused),
        (redirect_to("http://[::1"), LimosaError),
        (cut_off_at(1), LimosaError),
        (silent, LinkLost),
    ],
    ids=["etag of no digit", "negative etag", "no etag", "endless", "packed", "no address", "cut", "silent"],
)
def test_whatever_a_lying_server_answers_is_a_coded_error(trick: Trick, error: type[LimosaError]) -> None:
    """An endless answer took all memory; others ended in what nobody had foreseen."""
    limits = replace(QUICK, idle_s=0.3, tries=1, answer_max_bytes=1 << 20)
    with hostile_server() as liar:
        liar.tricks["/api/"] = trick
        with FleetServer(url=liar.url, token=TOKEN, limits=limits) as server, pytest.raises(error):
            server.role("demo", "demo-bins-0")
        assert liar.sent < 64 << 20


def test_an_answer_that_drips_for_ever_is_given_up() -> None:
    limits = replace(QUICK, tries=1, answer_s=0.5)
    with hostile_server() as liar:
        liar.files["/api/v1/teams/demo/metadata/demo-bins-0"] = b"x" * 10_000
        liar.tricks["/api/"] = dripping
        with FleetServer(url=liar.url, token=TOKEN, limits=limits) as server, pytest.raises(LinkLost):
            server.role("demo", "demo-bins-0")


@pytest.mark.parametrize("location", ["http://[::1", "\x00", "//elsewhere/", "http://127.0.0.1:1@elsewhere/"])
def test_an_upload_location_that_is_no_place_of_this_server_is_refused(location: str) -> None:
    with (
        FleetServer(url="http://127.0.0.1:1", token=TOKEN, limits=QUICK) as server,
        pytest.raises(RedirectRefused),
    ):
        server.own_url(location)

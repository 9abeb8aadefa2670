"""The commands' side of the REST API, against servers that are none, or lie."""

from __future__ import annotations

import pytest

from limosa_contracts.errors import LimosaError, TooLarge, Unreachable, Usage
from limosa_server.client import Client
from tests.support.hostile_server import (
    Trick,
    cut_off_at,
    endless,
    hostile_server,
    redirect_to,
    status,
)

TOKEN = f"lmp_{'a' * 12}.{'b' * 43}"


@pytest.mark.parametrize(
    "url",
    ["http://fleet.example:8443", "http://192.0.2.1", "http://[::1", "ftp://127.0.0.1", "https://", "fleet"],
)
def test_a_token_is_not_sent_where_others_hear_it(url: str) -> None:
    """An operator's token went over plain http to wherever the address said."""
    with pytest.raises(Usage):
        Client.of(url, TOKEN, None)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://a:1"])
def test_addresses_that_are_fine(url: str) -> None:
    with Client.of(url, TOKEN, None):
        pass


@pytest.mark.parametrize(
    "trick, error",
    [
        (endless, TooLarge),
        (redirect_to("http://[::1"), Unreachable),
        (redirect_to("http://192.0.2.1/"), Unreachable),
        (cut_off_at(1), Unreachable),
        (status(200), LimosaError),
        (status(500), Unreachable),
    ],
    ids=["endless", "no address", "elsewhere", "cut", "empty", "500"],
)
def test_whatever_a_lying_server_answers_is_a_coded_error(trick: Trick, error: type[LimosaError]) -> None:
    with hostile_server() as liar:
        liar.files["/api/v1/devices"] = b'{"items": []}'
        liar.tricks["/api/"] = trick
        with Client.of(liar.url, TOKEN, None) as client, pytest.raises(error):
            client.get("/api/v1/devices")


def test_https_to_a_server_without_tls_says_so() -> None:
    with (
        hostile_server() as server,
        Client.of(server.url.replace("http:", "https:"), TOKEN, None) as client,
        pytest.raises(Unreachable) as refused,
    ):
        client.get("/api/v1/devices")
    assert "does not speak TLS" in refused.value.hint


def test_what_is_no_address_is_named() -> None:
    """`LIMOSA_SERVER=fleet` was answered with "which server?" alone."""
    with pytest.raises(Usage) as refused:
        Client.of("fleet", TOKEN, None)
    assert "'fleet'" in refused.value.why

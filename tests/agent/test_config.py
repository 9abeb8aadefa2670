"""agent.toml: every key checked, mistakes named (agent 7.1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from limosa_agent.config import AgentConfig
from limosa_agent.errors import ConfigInvalid, InsecureLink


def test_server_alone_is_enough() -> None:
    config = AgentConfig.parse('server = "https://fleet.example/"')
    assert (config.server, config.listen) == ("https://fleet.example", "127.0.0.1:8080")


def test_every_key_is_read() -> None:
    config = AgentConfig.parse(
        """
        server = "http://127.0.0.1:8443"
        state_dir = "state"
        ca_file = "ca.pem"
        listen = "127.0.0.1:0"
        socket = "infer.sock"
        broker = "127.0.0.1:1884"
        profile = "cpu-generic"
        poll_interval_s = 5
        reconnect_min_s = 0.5
        reconnect_max_s = 2
        stable_after_s = 3
        ack_timeout_s = 4
        observe_every_s = 0.5
        labels = { site = "north" }
        [limits]
        outbox_max_bytes = 100000
        memory_for_standby = false
        """
    )
    assert config.labels == {"site": "north"}
    assert config.limits.outbox_max_bytes == 100000
    assert config.broker == "127.0.0.1:1884"
    assert config.state_dir.is_absolute()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "server"),
        ('server = "https://x"\nlisen = "a:1"', "listen"),
        ('server = "https://x"\nlisten = "8080"', "host:port"),
        ('server = "https://x"\nlabels = { "bad key" = "x" }', "label"),
        ('server = "https://x"\npoll_interval_s = "often"', "number"),
        ('server = "https://x"\n[limits]\noutbox_max_byte = 1', "outbox_max_bytes"),
        ('server = "ftp://x"', "https"),
        ("server = ", "TOML"),
    ],
)
def test_mistake_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        AgentConfig.parse(text)
    error = refused.value
    assert said in f"{error.what} {error.where} {error.why} {error.hint}"


def test_plain_http_leads_no_further_than_this_machine() -> None:
    with pytest.raises(InsecureLink):
        AgentConfig.parse('server = "http://fleet.example"')


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        AgentConfig.load(tmp_path / "agent.toml")
    assert "agent.toml" in refused.value.where


@pytest.mark.parametrize("value", ["~nobody-of-this-name/x", "\\u0000"])
@pytest.mark.parametrize(
    "table, key", [("", "state_dir"), ("", "socket"), ("[update]", "lock_dir"), ("[proxy]", "login_file")]
)
def test_path_that_cannot_be_is_told_with_its_key(table: str, key: str, value: str) -> None:
    text = f'server = "https://fleet.example"\n{table}\n{key} = "{value}"\n'
    with pytest.raises(ConfigInvalid) as caught:
        AgentConfig.parse(text + ('url = "http://proxy:3128"\n' if table == "[proxy]" else ""))
    assert key in caught.value.where


@pytest.mark.parametrize("pattern", ["/", "//media/*", "/media/\\u0000", "media/*", "/media/../*", "/**"])
def test_place_where_no_stick_can_appear_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigInvalid):
        AgentConfig.parse(f'server = "https://fleet.example"\n[mirror]\npaths = ["{pattern}"]\n')

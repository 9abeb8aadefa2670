"""What commands say to whoever was woken up: each word is true, and says what to do next (agent 6.3)."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from limosa_agent.commands.hold import _released_text
from limosa_agent.commands.infer_requests import InputSpec, bodies_of
from limosa_agent.commands.logs import shown
from limosa_agent.commands.status import _slots_text
from limosa_agent.config import AgentConfig
from limosa_agent.doctor.examine import examine
from limosa_agent.errors import InputUnreadable
from limosa_agent.link.https import _no_handshake
from limosa_agent.link.reports import _refused_here
from limosa_agent.serving.errors import BodyTooLarge, NotServing, Overloaded
from limosa_agent.update.state import Bad, ModelState
from limosa_contracts.json_value import JsonValue

ALL: JsonValue = {"scope": "*", "reason": "surgery", "until": None}
X = InputSpec(name="x", datatype="FP32", shape=(-1, 3))


def test_release_of_one_model_names_the_hold_that_still_stands() -> None:
    said = _released_text({"released": [], "holds": [ALL], "locks": []})
    assert "no such hold" in said
    assert "without --model" in said
    assert "all models held until released: surgery" in said
    gone = _released_text({"released": ["*"], "holds": [], "locks": []})
    assert gone == "released: all models\nnothing holds updates back"


def test_slots_say_why_and_how_long_a_release_is_refused() -> None:
    bad: JsonValue = {"manifest_sha256": "ab" * 32, "reason": "operator", "until": 1_800_000_000}
    model: JsonValue = {"model": "demo/motion", "quarantine": [bad]}
    assert "operator, until 2027-01-15 08:00 UTC  abababababab" in _slots_text({"models": [model]})


def test_server_hears_which_releases_are_refused_here_not_only_which_variants() -> None:
    """It plans rollouts by index: a device that told manifests alone was sent what it refuses."""
    bad = Bad(manifest_sha256="a" * 64, index_sha256="b" * 64, reason="latency")
    assert _refused_here(ModelState(model="demo/motion", quarantine=(bad,))) == ("a" * 64, "b" * 64)


def test_lines_of_the_log_say_that_their_time_is_utc() -> None:
    line = shown({"time": "2026-03-01T02:00:00.000Z", "level": "info", "part": "agent", "message": "m"})
    assert line.startswith("2026-03-01 02:00:00.000Z ")


def test_doctor_tells_a_new_device_once_what_to_do_first(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(f'server = "http://127.0.0.1:9"\nstate_dir = "{tmp_path / "state"}"\n')
    found = {finding.name: finding for finding in examine(AgentConfig.load(config))}
    enrol = sorted(name for name, finding in found.items() if "enroll" in finding.hint)
    assert enrol == ["disk", "identity"]
    assert all(found[name].ok for name in ("writing", "permissions", "certificate", "account", "broker"))


def test_file_that_is_not_there_is_not_called_a_wrong_format(tmp_path: Path) -> None:
    for name in ("x.npy", "x.json"):
        with pytest.raises(InputUnreadable, match="cannot be read"):
            list(bodies_of(tmp_path / name, (X,)))


def test_nobody_is_advised_to_run_what_is_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"no array")
    with pytest.raises(InputUnreadable) as refused:
        list(bodies_of(tmp_path / "x.npy", (X,)))
    assert "pickle" not in str(refused.value)


def test_refusals_that_end_by_waiting_say_so() -> None:
    for kind in (NotServing, Overloaded):
        assert "Retry-After" in kind("refused").hint
    assert "body_max_bytes" in BodyTooLarge("refused").hint


@pytest.mark.parametrize(
    ("error", "what", "do"),
    [
        (ssl.SSLCertVerificationError(1, "unable to get local issuer"), "not trusted here", "ca_file"),
        (ssl.SSLCertVerificationError(1, "certificate is not yet valid"), "not trusted here", "clock"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "does not answer", "http://"),
        (ConnectionResetError(104, "reset"), "does not answer", "runs"),
    ],
)
def test_server_that_answers_and_is_not_believed_is_not_called_down(
    error: OSError, what: str, do: str
) -> None:
    told = _no_handshake(error, server="https://fleet.example", where="GET /")
    assert what in told.what
    assert do in told.hint

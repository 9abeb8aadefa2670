"""Names that are safe in a topic, a path, a URL and a TUF role at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidField
from limosa_contracts.names import NAME, VERSION, ModelName, ReleaseName, check_name, check_version

HOSTILE = ["", "A", "a b", "-a", "a-", ".", "..", "a/b", "a+", "#", "$SYS", "<script>", "é", "a\n", "a" * 65]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_name(text, what="device")
    assert refused.value.where == "device"


@given(st.from_regex(NAME, fullmatch=True))
def test_accepted_name_is_one_level_of_a_topic_and_of_a_path(name: str) -> None:
    assert check_name(name, what="device") == name
    assert not set(name) & set("/+#$\\ \0\n%?&<>\"'")
    assert name not in (".", "..")
    assert 1 <= len(name) <= 64


@given(
    team=st.from_regex(NAME, fullmatch=True),
    model=st.from_regex(NAME, fullmatch=True),
    version=st.from_regex(VERSION, fullmatch=True),
)
def test_release_is_read_back_from_what_it_prints(team: str, model: str, version: str) -> None:
    release = ReleaseName(ModelName(team, model), version)
    assert ReleaseName.parse(str(release)) == release
    assert release.target_path == f"{team}/{model}/{version}/index.json"


@pytest.mark.parametrize(
    "text",
    ["", "a", "a/b", "a/b@", "a/b@1", "a/b@1.2", "a/b/c@1.0.0", "../b@1.0.0", "a/b@1.0.0\n", "a/b@01.0.0"],
)
def test_text_that_is_no_release_is_refused(text: str) -> None:
    with pytest.raises(InvalidField):
        ReleaseName.parse(text)


@pytest.mark.parametrize("text", ["0.0.0", "1.2.3", "10.20.30-rc.1", "1.0.0-alpha"])
def test_version_is_accepted(text: str) -> None:
    assert check_version(text) == text


@pytest.mark.parametrize(
    "text", ["1.0", "v1.0.0", "1.0.0-", "1.0.0+build", "1.0.0/..", " 1.0.0", "9999999999.0.0"]
)
def test_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidField):
        check_version(text)

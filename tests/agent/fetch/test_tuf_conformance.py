"""The cases of the public TUF conformance suite, by its command line protocol, on real HTTP (trust 3.6).

Written from the suite's documentation of each case: exit code, trusted metadata, requests, downloads.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from tests.agent.fetch.tuf_world import Client, days
from tests.support.processes import script
from tests.support.waiting import wait_until

ROOT, TIMESTAMP, SNAPSHOT, TARGETS = Root.type, Timestamp.type, Snapshot.type, Targets.type


# -- the way it should go
def test_init_asks_nothing_and_refresh_asks_each_file_once(tuf_client: Client) -> None:
    assert tuf_client.init() == 0
    assert tuf_client.asked() == []
    assert tuf_client.refresh() == 0
    assert tuf_client.asked() == ["2.root", "timestamp", "1.snapshot", "1.targets"]
    assert tuf_client.versions == (1, 1, 1, 1)


def test_metadata_is_kept_byte_for_byte(ready: Client) -> None:
    served = ready.repository.file
    expected = {"root": served(ROOT, 1), "timestamp": served(TIMESTAMP), "snapshot": served(SNAPSHOT, 1)}
    for name, data in {**expected, "targets": served(TARGETS, 1)}.items():
        assert (ready.metadata / f"{name}.json").read_bytes() == data


def test_what_is_cached_is_not_downloaded_again(ready: Client) -> None:
    assert ready.refresh() == 0
    assert ready.asked() == ["2.root", "timestamp"]


def test_download_refreshes_by_itself_also_for_what_does_not_exist(tuf_client: Client) -> None:
    assert tuf_client.init() == 0
    assert tuf_client.download("nonexistent artifact") == 1
    assert tuf_client.asked() == ["2.root", "timestamp", "1.snapshot", "1.targets"]
    assert tuf_client.versions == (1, 1, 1, 1)


def test_fields_that_the_client_does_not_know_are_signed_too(ready: Client) -> None:
    root = ready.repository.root
    root.unrecognized_fields["custom-field"] = "value"
    root.keys[root.roles[ROOT].keyids[0]].unrecognized_fields["extra-field"] = {"a": 1, "b": 2}
    root.roles[ROOT].unrecognized_fields["another-field"] = "value"
    ready.repository.publish(ROOT)
    assert ready.refresh() == 0
    assert ready.version(ROOT) == 2


def test_the_installed_command_keeps_the_suites_protocol(tuf_client: Client) -> None:
    """The words of a command line, the exit codes, and a process of its own each time."""
    repository, url = tuf_client.repository, tuf_client.repository.server.url
    repository.add_target("a/target", b"content")
    repository.publish_all()
    root = tuf_client.metadata.parent / "root.json"
    root.write_bytes(repository.trusted_root)

    def run(*words: str) -> int:
        command = [script("limosa-agent"), "tuf", "--metadata-dir", str(tuf_client.metadata), *words]
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode

    source = ("--metadata-url", f"{url}/metadata")
    target = ("--target-base-url", f"{url}/targets", "--target-dir", str(tuf_client.targets))
    assert run("init", str(root)) == 0
    assert run(*source, "refresh") == 0
    assert run(*source, "--target-name", "a/target", *target, "download") == 0
    assert run(*source, "--target-name", "no/target", *target, "download") == 1
    assert tuf_client.downloaded == [b"content"]


# -- a first root that is none
def spoil_version(root: dict[str, dict[str, object]]) -> None:
    del root["signed"]["version"]


def spoil_signature(root: dict[str, dict[str, object]]) -> None:
    root["signatures"][0]["sig"] = "00" * 64  # type: ignore[index]  # a list, as JSON has it


@pytest.mark.parametrize("spoil", [spoil_version, spoil_signature])
def test_a_bad_first_root_asks_for_nothing(
    tuf_client: Client, spoil: Callable[[dict[str, dict[str, object]]], None]
) -> None:
    root = json.loads(tuf_client.repository.trusted_root)
    spoil(root)
    tuf_client.init(json.dumps(root).encode())
    assert tuf_client.refresh() == 1
    assert tuf_client.asked() == []


# -- versions and hashes
def test_a_timestamp_of_the_same_version_with_other_content_is_not_taken(ready: Client) -> None:
    kept = (ready.metadata / "timestamp.json").read_bytes()
    ready.repository.timestamp.snapshot_meta.version = 100
    ready.repository.publish(TIMESTAMP, bump=False)
    ready.refresh()
    assert (ready.metadata / "timestamp.json").read_bytes() == kept


def test_targets_with_another_hash_than_the_snapshot_lists_are_refused(ready: Client) -> None:
    repository = ready.repository
    repository.hashes = True
    repository.publish_all()
    served = repository.file(TARGETS, 2)
    repository.server.files["/metadata/2.targets.json"] = served.replace(b"{", b"{ ", 1)
    assert ready.refresh() == 1
    assert ready.version(TARGETS) == 1
    repository.server.files["/metadata/2.targets.json"] = served
    assert ready.refresh() == 0


def test_targets_that_the_snapshot_does_not_list_stay_where_they_are(ready: Client) -> None:
    ready.repository.publish(TARGETS)
    assert ready.refresh() == 0
    assert ready.versions == (1, 1, 1, 1)


def test_a_snapshot_of_another_version_than_the_timestamp_says_is_refused(tuf_client: Client) -> None:
    assert tuf_client.init() == 0
    repository = tuf_client.repository
    repository.snapshot.version = 3
    repository.publish(SNAPSHOT, bump=False)
    repository.server.files["/metadata/1.snapshot.json"] = repository.file(SNAPSHOT, 3)
    assert tuf_client.refresh() == 1
    assert tuf_client.versions == (1, 1, None, None)
    assert tuf_client.asked()[-1] == "1.snapshot"


# -- rollback and fast forward
def test_a_timestamp_is_not_rolled_back(ready: Client) -> None:
    repository = ready.repository
    repository.publish(TIMESTAMP)
    assert ready.refresh() == 0
    repository.timestamp.version = 1
    repository.publish(TIMESTAMP, bump=False)
    assert ready.refresh() == 1
    assert ready.version(TIMESTAMP) == 2
    assert ready.asked()[-1] == "timestamp"


def test_a_snapshot_that_no_timestamp_names_is_not_looked_at(ready: Client) -> None:
    repository = ready.repository
    repository.publish(SNAPSHOT, TIMESTAMP)
    assert ready.refresh() == 0
    repository.server.files["/metadata/2.snapshot.json"] = repository.file(SNAPSHOT, 1)
    assert ready.refresh() == 0
    assert ready.version(SNAPSHOT) == 2
    assert ready.asked()[-1] == "timestamp"


@pytest.mark.parametrize("hashes", [False, True])
def test_a_snapshot_is_not_rolled_back(tuf_client: Client, hashes: bool) -> None:
    tuf_client.repository.hashes = hashes
    tuf_client.repository.publish(SNAPSHOT, TIMESTAMP)
    assert tuf_client.init() == 0
    assert tuf_client.refresh() == 0
    tuf_client.repository.snapshot.version = 1
    tuf_client.repository.publish(SNAPSHOT, bump=False)
    tuf_client.repository.publish(TIMESTAMP)
    assert tuf_client.refresh() == 1
    assert (tuf_client.version(TIMESTAMP), tuf_client.version(SNAPSHOT)) == (2, 2)
    assert tuf_client.asked()[-1] == "timestamp"


@pytest.mark.parametrize("hashes", [False, True])
def test_targets_are_not_rolled_back(tuf_client: Client, hashes: bool) -> None:
    tuf_client.repository.hashes = hashes
    tuf_client.repository.publish_all()
    assert tuf_client.init() == 0
    assert tuf_client.refresh() == 0
    tuf_client.repository.targets.version = 1
    tuf_client.repository.publish(TARGETS, bump=False)
    tuf_client.repository.publish(SNAPSHOT, TIMESTAMP)
    assert tuf_client.refresh() == 1
    assert tuf_client.version(TARGETS) == 2


def test_new_timestamp_keys_bring_a_timestamp_back_from_a_version_far_ahead(tuf_client: Client) -> None:
    repository = tuf_client.repository
    repository.timestamp.version = 99999
    repository.publish(TIMESTAMP)
    assert tuf_client.init() == 0
    assert tuf_client.refresh() == 0
    repository.rotate(TIMESTAMP)
    repository.timestamp.version = 1
    repository.publish(TIMESTAMP, bump=False)
    repository.publish(ROOT)
    assert tuf_client.refresh() == 0
    assert tuf_client.version(TIMESTAMP) == 1


def test_new_snapshot_keys_bring_a_snapshot_back_from_a_version_far_ahead(tuf_client: Client) -> None:
    repository = tuf_client.repository
    repository.snapshot.version = 99999
    repository.publish(SNAPSHOT, TIMESTAMP)
    assert tuf_client.init() == 0
    assert tuf_client.refresh() == 0
    repository.rotate(SNAPSHOT)
    repository.rotate(TIMESTAMP)
    repository.snapshot.version = 1
    repository.publish(SNAPSHOT, bump=False)
    repository.publish(TIMESTAMP, ROOT)
    assert tuf_client.refresh() == 0
    assert tuf_client.version(SNAPSHOT) == 1


def test_new_snapshot_keys_bring_targets_back_from_a_version_far_ahead(tuf_client: Client) -> None:
    repository = tuf_client.repository
    repository.targets.version = 99
    repository.publish_all()
    assert tuf_client.init() == 0
    assert tuf_client.refresh() == 0
    assert tuf_client.version(TARGETS) == 100
    repository.rotate(SNAPSHOT)
    repository.targets.version = 2
    repository.publish(TARGETS, bump=False)
    repository.publish(SNAPSHOT, TIMESTAMP, ROOT)
    assert tuf_client.refresh() == 0
    assert tuf_client.version(TARGETS) == 2


# -- expiry
def test_an_expired_root_is_kept_and_ends_the_refresh(ready: Client) -> None:
    repository = ready.repository
    repository.publish(ROOT)
    repository.root.expires = days(-1)
    repository.publish(ROOT)
    repository.publish_all()
    assert ready.refresh() == 1
    assert ready.versions == (3, 1, 1, 1)


@pytest.mark.parametrize("role", [TIMESTAMP, SNAPSHOT, TARGETS])
def test_expired_metadata_is_not_taken(ready: Client, role: str) -> None:
    ready.repository.document(role).expires = days(-5)
    ready.repository.publish_all()
    assert ready.refresh() == 1
    assert ready.version(role) == 1


def wait_past(moment: datetime) -> None:
    wait_until(lambda: datetime.now(UTC) > moment, timeout_s=10, what="the metadata has expired")


def soon() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)


def test_local_metadata_that_expired_leads_to_newer(tuf_client: Client) -> None:
    repository = tuf_client.repository
    expiry = soon()
    repository.timestamp.expires = repository.snapshot.expires = expiry
    repository.publish_all()
    assert tuf_client.init() == 0
    assert tuf_client.refresh() == 0
    repository.timestamp.expires = repository.snapshot.expires = days(21)
    repository.publish_all()
    wait_past(expiry)
    assert tuf_client.refresh() == 0
    assert tuf_client.versions == (1, 3, 3, 3)


def test_a_delegated_role_that_expired_is_not_used_until_there_is_a_newer(tuf_client: Client) -> None:
    repository = tuf_client.repository
    expiry = soon()
    repository.delegate(TARGETS, "delegated", ["path/*"], expires=expiry)
    repository.add_target("path/first", b"first", "delegated")
    repository.add_target("path/second", b"second", "delegated")
    repository.publish_all()
    assert tuf_client.init() == 0
    assert tuf_client.download("path/first") == 0
    wait_past(expiry)
    assert tuf_client.download("path/second") == 1
    assert tuf_client.downloaded == [b"first"]
    repository.delegated["delegated"].expires = days(21)
    repository.publish_all()
    assert tuf_client.download("path/second") == 0
    assert tuf_client.downloaded == [b"first", b"second"]


def test_a_delegated_role_that_was_always_expired_is_not_trusted(tuf_client: Client) -> None:
    tuf_client.repository.delegate(TARGETS, "delegated", ["path/*"], expires=days(-1))
    tuf_client.repository.add_target("path/target", b"content", "delegated")
    tuf_client.repository.publish_all()
    assert tuf_client.init() == 0
    assert tuf_client.refresh() == 0
    assert tuf_client.download("path/target") == 1
    assert (tuf_client.downloaded, tuf_client.roles) == ([], 4)

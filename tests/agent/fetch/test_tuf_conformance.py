"""The cases of the public TUF conformance suite, by its command line protocol, on real HTTP (trust 3.6).

Written from the suite's documentation of each case: exit code, trusted metadata, requests, downloads.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from tests.agent.fetch.tuf_world import Client, Repository, days
from tests.support.hostile_server import hostile_server
from tests.support.processes import script
from tests.support.waiting import wait_until

ROOT, TIMESTAMP, SNAPSHOT, TARGETS = Root.type, Timestamp.type, Snapshot.type, Targets.type
KEYS = [CryptoSigner.generate_ed25519() for _ in range(10)]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with hostile_server() as server:
        yield Client(Repository(server), tmp_path)


@pytest.fixture
def ready(client: Client) -> Client:
    """Initialised and refreshed once."""
    assert client.init() == 0
    assert client.refresh() == 0
    client.asked()
    return client


# -- the way it should go
def test_init_asks_nothing_and_refresh_asks_each_file_once(client: Client) -> None:
    assert client.init() == 0
    assert client.asked() == []
    assert client.refresh() == 0
    assert client.asked() == ["2.root", "timestamp", "1.snapshot", "1.targets"]
    assert client.versions == (1, 1, 1, 1)


def test_metadata_is_kept_byte_for_byte(ready: Client) -> None:
    served = ready.repository.file
    expected = {"root": served(ROOT, 1), "timestamp": served(TIMESTAMP), "snapshot": served(SNAPSHOT, 1)}
    for name, data in {**expected, "targets": served(TARGETS, 1)}.items():
        assert (ready.metadata / f"{name}.json").read_bytes() == data


def test_what_is_cached_is_not_downloaded_again(ready: Client) -> None:
    assert ready.refresh() == 0
    assert ready.asked() == ["2.root", "timestamp"]


def test_download_refreshes_by_itself_also_for_what_does_not_exist(client: Client) -> None:
    assert client.init() == 0
    assert client.download("nonexistent artifact") == 1
    assert client.asked() == ["2.root", "timestamp", "1.snapshot", "1.targets"]
    assert client.versions == (1, 1, 1, 1)


def test_fields_that_the_client_does_not_know_are_signed_too(ready: Client) -> None:
    root = ready.repository.root
    root.unrecognized_fields["custom-field"] = "value"
    root.keys[root.roles[ROOT].keyids[0]].unrecognized_fields["extra-field"] = {"a": 1, "b": 2}
    root.roles[ROOT].unrecognized_fields["another-field"] = "value"
    ready.repository.publish(ROOT)
    assert ready.refresh() == 0
    assert ready.version(ROOT) == 2


def test_the_installed_command_keeps_the_suites_protocol(client: Client) -> None:
    """The words of a command line, the exit codes, and a process of its own each time."""
    repository, url = client.repository, client.repository.server.url
    repository.add_target("a/target", b"content")
    repository.publish_all()
    root = client.metadata.parent / "root.json"
    root.write_bytes(repository.trusted_root)

    def run(*words: str) -> int:
        command = [script("limosa-agent"), "tuf", "--metadata-dir", str(client.metadata), *words]
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode

    source = ("--metadata-url", f"{url}/metadata")
    target = ("--target-base-url", f"{url}/targets", "--target-dir", str(client.targets))
    assert run("init", str(root)) == 0
    assert run(*source, "refresh") == 0
    assert run(*source, "--target-name", "a/target", *target, "download") == 0
    assert run(*source, "--target-name", "no/target", *target, "download") == 1
    assert client.downloaded == [b"content"]


# -- a first root that is none
def spoil_version(root: dict[str, dict[str, object]]) -> None:
    del root["signed"]["version"]


def spoil_signature(root: dict[str, dict[str, object]]) -> None:
    root["signatures"][0]["sig"] = "00" * 64  # type: ignore[index]  # a list, as JSON has it


@pytest.mark.parametrize("spoil", [spoil_version, spoil_signature])
def test_a_bad_first_root_asks_for_nothing(
    client: Client, spoil: Callable[[dict[str, dict[str, object]]], None]
) -> None:
    root = json.loads(client.repository.trusted_root)
    spoil(root)
    client.init(json.dumps(root).encode())
    assert client.refresh() == 1
    assert client.asked() == []


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


def test_a_snapshot_of_another_version_than_the_timestamp_says_is_refused(client: Client) -> None:
    assert client.init() == 0
    repository = client.repository
    repository.snapshot.version = 3
    repository.publish(SNAPSHOT, bump=False)
    repository.server.files["/metadata/1.snapshot.json"] = repository.file(SNAPSHOT, 3)
    assert client.refresh() == 1
    assert client.versions == (1, 1, None, None)
    assert client.asked()[-1] == "1.snapshot"


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
def test_a_snapshot_is_not_rolled_back(client: Client, hashes: bool) -> None:
    client.repository.hashes = hashes
    client.repository.publish(SNAPSHOT, TIMESTAMP)
    assert client.init() == 0
    assert client.refresh() == 0
    client.repository.snapshot.version = 1
    client.repository.publish(SNAPSHOT, bump=False)
    client.repository.publish(TIMESTAMP)
    assert client.refresh() == 1
    assert (client.version(TIMESTAMP), client.version(SNAPSHOT)) == (2, 2)
    assert client.asked()[-1] == "timestamp"


@pytest.mark.parametrize("hashes", [False, True])
def test_targets_are_not_rolled_back(client: Client, hashes: bool) -> None:
    client.repository.hashes = hashes
    client.repository.publish_all()
    assert client.init() == 0
    assert client.refresh() == 0
    client.repository.targets.version = 1
    client.repository.publish(TARGETS, bump=False)
    client.repository.publish(SNAPSHOT, TIMESTAMP)
    assert client.refresh() == 1
    assert client.version(TARGETS) == 2


def test_new_timestamp_keys_bring_a_timestamp_back_from_a_version_far_ahead(client: Client) -> None:
    repository = client.repository
    repository.timestamp.version = 99999
    repository.publish(TIMESTAMP)
    assert client.init() == 0
    assert client.refresh() == 0
    repository.rotate(TIMESTAMP)
    repository.timestamp.version = 1
    repository.publish(TIMESTAMP, bump=False)
    repository.publish(ROOT)
    assert client.refresh() == 0
    assert client.version(TIMESTAMP) == 1


def test_new_snapshot_keys_bring_a_snapshot_back_from_a_version_far_ahead(client: Client) -> None:
    repository = client.repository
    repository.snapshot.version = 99999
    repository.publish(SNAPSHOT, TIMESTAMP)
    assert client.init() == 0
    assert client.refresh() == 0
    repository.rotate(SNAPSHOT)
    repository.rotate(TIMESTAMP)
    repository.snapshot.version = 1
    repository.publish(SNAPSHOT, bump=False)
    repository.publish(TIMESTAMP, ROOT)
    assert client.refresh() == 0
    assert client.version(SNAPSHOT) == 1


def test_new_snapshot_keys_bring_targets_back_from_a_version_far_ahead(client: Client) -> None:
    repository = client.repository
    repository.targets.version = 99
    repository.publish_all()
    assert client.init() == 0
    assert client.refresh() == 0
    assert client.version(TARGETS) == 100
    repository.rotate(SNAPSHOT)
    repository.targets.version = 2
    repository.publish(TARGETS, bump=False)
    repository.publish(SNAPSHOT, TIMESTAMP, ROOT)
    assert client.refresh() == 0
    assert client.version(TARGETS) == 2


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


def test_local_metadata_that_expired_leads_to_newer(client: Client) -> None:
    repository = client.repository
    expiry = soon()
    repository.timestamp.expires = repository.snapshot.expires = expiry
    repository.publish_all()
    assert client.init() == 0
    assert client.refresh() == 0
    repository.timestamp.expires = repository.snapshot.expires = days(21)
    repository.publish_all()
    wait_past(expiry)
    assert client.refresh() == 0
    assert client.versions == (1, 3, 3, 3)


def test_a_delegated_role_that_expired_is_not_used_until_there_is_a_newer(client: Client) -> None:
    repository = client.repository
    expiry = soon()
    repository.delegate(TARGETS, "delegated", ["path/*"], expires=expiry)
    repository.add_target("path/first", b"first", "delegated")
    repository.add_target("path/second", b"second", "delegated")
    repository.publish_all()
    assert client.init() == 0
    assert client.download("path/first") == 0
    wait_past(expiry)
    assert client.download("path/second") == 1
    assert client.downloaded == [b"first"]
    repository.delegated["delegated"].expires = days(21)
    repository.publish_all()
    assert client.download("path/second") == 0
    assert client.downloaded == [b"first", b"second"]


def test_a_delegated_role_that_was_always_expired_is_not_trusted(client: Client) -> None:
    client.repository.delegate(TARGETS, "delegated", ["path/*"], expires=days(-1))
    client.repository.add_target("path/target", b"content", "delegated")
    client.repository.publish_all()
    assert client.init() == 0
    assert client.refresh() == 0
    assert client.download("path/target") == 1
    assert (client.downloaded, client.roles) == ([], 4)


# -- keys and thresholds
Version = tuple[list[int], int, list[int]]  # keys, threshold, signers
ROOTS: dict[str, tuple[bool, list[Version]]] = {
    "one key gives way to another": (True, [([1], 1, [1]), ([2], 1, [2, 1]), ([2], 1, [2])]),
    "signatures of strangers do no harm": (
        True,
        [([1], 1, [3, 1, 4]), ([2], 1, [3, 2, 1, 4]), ([2], 1, [3, 2, 4])],
    ),
    "any three of five sign": (
        True,
        [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 2, 3, 4], 3, [0, 4, 1]), ([0, 1, 2, 3, 4], 3, [0, 1, 3])],
    ),
    "one of five changes": (True, [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 4, 1])]),
    "one of five changes in two steps": (
        True,
        [
            ([0, 1, 2, 3, 4], 3, [0, 2, 4]),
            ([0, 1, 3, 4, 5], 3, [0, 2, 4, 5]),
            ([0, 1, 3, 4, 5], 3, [0, 4, 5]),
        ],
    ),
    "all five change": (
        True,
        [
            ([0, 1, 2, 3, 4], 3, [0, 2, 4]),
            ([5, 6, 7, 8, 9], 3, [0, 2, 4, 5, 6, 7]),
            ([5, 6, 7, 8, 9], 3, [5, 6, 7]),
        ],
    ),
    "the threshold rises": (True, [([1, 2, 3], 1, [1]), ([1, 2, 3], 2, [1, 2])]),
    "the threshold falls": (True, [([1, 2, 3], 2, [1, 2]), ([1, 2, 3], 1, [1, 2]), ([1, 2, 3], 1, [1])]),
    "a second key is needed": (True, [([1], 1, [1]), ([1, 2], 2, [1, 2])]),
    "the old key did not sign": (False, [([1], 1, [1]), ([2], 1, [2, 3, 4])]),
    "the new key did not sign": (False, [([1], 1, [1]), ([2], 1, [1, 3, 4])]),
    "not three of the new": (False, [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 2, 4])]),
    "not three of the old": (False, [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 4, 5])]),
    "the new threshold is not reached": (False, [([1, 2, 3], 1, [1]), ([1, 2, 3], 2, [2])]),
    "the old threshold is not reached": (False, [([1, 2, 3], 2, [1, 2]), ([1, 2, 3], 1, [1])]),
}


@pytest.mark.parametrize(("good", "versions"), ROOTS.values(), ids=[*ROOTS])
def test_roots_follow_one_upon_the_other(client: Client, good: bool, versions: list[Version]) -> None:
    repository = client.repository
    repository.root.version = 0
    for keys, threshold, signers in versions:
        repository.set_keys(
            ROOT,
            keys=[KEYS[i] for i in keys],
            threshold=threshold,
            signers=[KEYS[i] for i in signers],
        )
        repository.publish(ROOT)
    assert client.init(repository.file(ROOT, 1)) == 0
    assert client.refresh() == (0 if good else 1)
    last = len(versions) if good else len(versions) - 1
    assert (client.metadata / "root.json").read_bytes() == repository.file(ROOT, last)


OTHERS: dict[str, tuple[bool, Version]] = {
    "another key": (True, ([2], 1, [2])),
    "signatures of strangers do no harm": (True, ([1], 1, [3, 1, 4])),
    "the new key did not sign": (False, ([2], 1, [1, 3, 4])),
    "a signer is none of the keys": (False, ([0, 1, 3, 4, 5], 3, [0, 2, 4])),
    "too few signers": (False, ([0, 1, 3, 4, 5], 3, [0, 4])),
    "three of five": (True, ([0, 1, 2, 3, 4], 3, [0, 2, 4])),
    "three others of five": (True, ([0, 1, 2, 3, 4], 3, [2, 3, 4])),
}


@pytest.mark.parametrize("role", [TIMESTAMP, SNAPSHOT, TARGETS])
@pytest.mark.parametrize(("good", "version"), OTHERS.values(), ids=[*OTHERS])
def test_keys_of_other_roles_change_with_the_root(
    client: Client, role: str, good: bool, version: Version
) -> None:
    keys, threshold, signers = version
    repository = client.repository
    repository.set_keys(
        role, keys=[KEYS[i] for i in keys], threshold=threshold, signers=[KEYS[i] for i in signers]
    )
    repository.publish_all()
    repository.publish(ROOT)
    assert client.init() == 0
    assert client.refresh() == (0 if good else 1)
    if good:
        name = None if role == TIMESTAMP else 2
        assert (client.metadata / f"{role}.json").read_bytes() == repository.file(role, name)


def test_one_key_under_many_names_counts_once(ready: Client) -> None:
    repository, role = ready.repository, ready.repository.root.roles[SNAPSHOT]
    key = KEYS[0].public_key
    for number in range(9):
        alias = type(key)(f"{number:064x}", key.keytype, key.scheme, dict(key.keyval))
        repository.root.keys[alias.keyid] = alias
        role.keyids.append(alias.keyid)
    role.threshold = 6
    repository.signers[SNAPSHOT].append(KEYS[0])
    repository.publish_all()
    repository.publish(ROOT)
    assert ready.refresh() == 1
    assert ready.version(SNAPSHOT) == 1


def test_a_threshold_above_the_number_of_keys_is_never_reached(ready: Client) -> None:
    repository = ready.repository
    for key in KEYS[:4]:
        repository.add_key(SNAPSHOT, key)
    repository.root.roles[SNAPSHOT].threshold = 6
    repository.publish(ROOT)
    repository.publish_all()
    assert ready.refresh() == 1
    assert (ready.version(ROOT), ready.version(SNAPSHOT)) == (2, 1)


def test_a_keys_hash_algorithm_is_nobodys_business(ready: Client) -> None:
    root = ready.repository.root
    key = root.keys[root.roles[SNAPSHOT].keyids[0]]
    key.unrecognized_fields["keyid_hash_algorithms"] = ["md5"]
    ready.repository.publish(ROOT)
    ready.repository.publish_all()
    assert ready.refresh() == 0
    assert (ready.version(ROOT), ready.version(SNAPSHOT)) == (2, 2)


# -- delegations
Edge = tuple[str, str, list[str], bool]  # from, to, paths, terminating


def edge(way: str, paths: str = "*", *, terminating: bool = False) -> Edge:
    above, _, below = way.partition(">")
    return ("targets" if above == "T" else above, below, paths.split(), terminating)


GRAPHS: dict[str, tuple[list[Edge], str]] = {
    "one": ([edge("T>A")], "A"),
    "two beside": ([edge("T>A"), edge("T>B")], "A B"),
    "two levels": ([edge("T>A"), edge("T>B"), edge("B>C")], "A B C"),
    "depth first": ([edge("T>A"), edge("T>B"), edge("A>C"), edge("A>D")], "A C D B"),
    "three levels": ([edge("T>A"), edge("T>B"), edge("A>C"), edge("C>D")], "A C D B"),
    "terminating": ([edge("T>A"), edge("T>B"), edge("A>C", terminating=True), edge("A>D")], "A C"),
    "terminating with descendants": (
        [edge("T>A"), edge("T>B"), edge("A>C", terminating=True), edge("C>D")],
        "A C D",
    ),
    "paths that do not match": ([edge("T>A", "*.py"), edge("T>B"), edge("A>C")], "B"),
    "paths below that do not match": ([edge("T>A"), edge("T>B"), edge("A>C", "*.py"), edge("C>D")], "A B"),
    "a circle": ([edge("T>A"), edge("T>B"), edge("B>C"), edge("C>D"), edge("D>B")], "A B C D"),
    "a third of two": ([edge("T>A"), edge("T>B"), edge("B>C"), edge("A>C")], "A C B"),
    "a third by one path": ([edge("T>A"), edge("T>B"), edge("B>C"), edge("A>C", "*.py")], "A B C"),
}


@pytest.mark.parametrize(("edges", "visited"), GRAPHS.values(), ids=[*GRAPHS])
def test_delegations_are_searched_in_order(client: Client, edges: list[Edge], visited: str) -> None:
    for above, below, paths, terminating in edges:
        client.repository.delegate(above, below, paths, terminating=terminating)
    client.repository.publish_all()
    assert client.init() == 0
    assert client.download("missingpath") == 1
    asked = client.asked()[4:]
    assert asked == [f"1.{role}" for role in visited.split()]


TREE = [
    edge("T>A", "*.doc *.md"),
    edge("T>B", "releases/*/*"),
    edge("B>C", "releases/x/*"),
    edge("B>D", "releases/y/*.zip"),
]
SEARCHES = {
    "targetfile": ("targets", True, ""),
    "README.md": ("A", True, "A"),
    "releases/x/x_v1": ("C", True, "B C"),
    "releases/y/y_v1.zip": ("D", True, "B D"),
    "releases/z/z_v1.zip": ("D", False, "B"),
}


@pytest.mark.parametrize("path", SEARCHES)
def test_a_target_is_found_where_every_role_on_the_way_delegates_it(client: Client, path: str) -> None:
    role, found, visited = SEARCHES[path]
    for above, below, paths, terminating in TREE:
        client.repository.delegate(above, below, paths, terminating=terminating)
    client.repository.add_target(path, path.encode(), role)
    client.repository.publish_all()
    assert client.init() == 0
    assert client.download(path) == (0 if found else 1)
    assert client.downloaded == ([path.encode()] if found else [])
    assert client.asked()[4:] == [f"1.{name}" for name in visited.split()]


@pytest.mark.parametrize("role", ["?", "#", "/delegatedrole", "../delegatedrole", "delegated role"])
def test_unusual_names_of_roles_stay_within_request_and_folder(client: Client, role: str) -> None:
    client.repository.delegate(TARGETS, role, ["*"])
    client.repository.publish_all()
    assert client.init() == 0
    assert client.download("nonexistent") == 1
    assert f"1.{role}" in client.asked()
    assert client.roles == 5
    assert {path.name for path in client.metadata.parent.iterdir()} == {"metadata", "initial_root.json"}


def test_a_target_is_found_in_its_hash_bin_with_one_question(client: Client) -> None:
    client.repository.delegate_bins("bin", 4)
    role = client.repository.bin_of("some/path")
    client.repository.add_target("some/path", b"content", role)
    client.repository.publish_all()
    assert client.init() == 0
    assert client.download("some/path") == 0
    assert client.asked()[4:] == [f"1.{role}"]


# -- targets
@pytest.mark.parametrize("path", ["target_file.txt", "path/to/a/target_file.txt"])
def test_a_target_is_downloaded_by_download_only(client: Client, path: str) -> None:
    client.repository.add_target(path, b"target file contents")
    client.repository.publish_all()
    assert client.init() == 0
    assert client.refresh() == 0
    assert client.downloaded == []
    assert client.download(path) == 0
    assert client.downloaded == [b"target file contents"]


def test_bytes_that_were_not_signed_are_not_kept(client: Client) -> None:
    repository = client.repository
    for name in ("one", "two"):
        repository.add_target(name, name.encode())
    repository.publish_all()
    assert client.init() == 0
    assert client.download("one") == 0
    for name in ("one", "two"):
        repository.replace_target(name, b"malicious")
    client.download("one")
    assert client.download("two") == 1
    assert client.downloaded == [b"one"]


def test_a_target_that_changes_again_and_again_is_replaced_and_never_by_what_is_unsigned(
    client: Client,
) -> None:
    repository = client.repository
    assert client.init() == 0
    for turn in range(3):
        repository.add_target("file", f"contents {turn}".encode())
        repository.publish_all()
        assert client.download("file") == 0
        assert client.downloaded == [f"contents {turn}".encode()]
        repository.replace_target("file", b"malicious")
        repository.publish_all()
        client.download("file")
        assert client.downloaded == [f"contents {turn}".encode()]

"""The TUF conformance suite's cases of keys, their change and their thresholds (trust 3.6)."""

from __future__ import annotations

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from tests.agent.fetch.tuf_world import Client

ROOT, TIMESTAMP, SNAPSHOT, TARGETS = Root.type, Timestamp.type, Snapshot.type, Targets.type
KEYS = [CryptoSigner.generate_ed25519() for _ in range(10)]


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
def test_roots_follow_one_upon_the_other(tuf_client: Client, good: bool, versions: list[Version]) -> None:
    repository = tuf_client.repository
    repository.root.version = 0
    for keys, threshold, signers in versions:
        repository.set_keys(
            ROOT,
            keys=[KEYS[i] for i in keys],
            threshold=threshold,
            signers=[KEYS[i] for i in signers],
        )
        repository.publish(ROOT)
    assert tuf_client.init(repository.file(ROOT, 1)) == 0
    assert tuf_client.refresh() == (0 if good else 1)
    last = len(versions) if good else len(versions) - 1
    assert (tuf_client.metadata / "root.json").read_bytes() == repository.file(ROOT, last)


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
    tuf_client: Client, role: str, good: bool, version: Version
) -> None:
    keys, threshold, signers = version
    repository = tuf_client.repository
    repository.set_keys(
        role, keys=[KEYS[i] for i in keys], threshold=threshold, signers=[KEYS[i] for i in signers]
    )
    repository.publish_all()
    repository.publish(ROOT)
    assert tuf_client.init() == 0
    assert tuf_client.refresh() == (0 if good else 1)
    if good:
        name = None if role == TIMESTAMP else 2
        assert (tuf_client.metadata / f"{role}.json").read_bytes() == repository.file(role, name)


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

"""The TUF conformance suite's cases of delegations and targets (trust 3.6)."""

from __future__ import annotations

import pytest
from tuf.api.metadata import Targets

from tests.agent.fetch.tuf_world import Client

TARGETS = Targets.type


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
def test_delegations_are_searched_in_order(tuf_client: Client, edges: list[Edge], visited: str) -> None:
    for above, below, paths, terminating in edges:
        tuf_client.repository.delegate(above, below, paths, terminating=terminating)
    tuf_client.repository.publish_all()
    assert tuf_client.init() == 0
    assert tuf_client.download("missingpath") == 1
    asked = tuf_client.asked()[4:]
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
def test_a_target_is_found_where_every_role_on_the_way_delegates_it(tuf_client: Client, path: str) -> None:
    role, found, visited = SEARCHES[path]
    for above, below, paths, terminating in TREE:
        tuf_client.repository.delegate(above, below, paths, terminating=terminating)
    tuf_client.repository.add_target(path, path.encode(), role)
    tuf_client.repository.publish_all()
    assert tuf_client.init() == 0
    assert tuf_client.download(path) == (0 if found else 1)
    assert tuf_client.downloaded == ([path.encode()] if found else [])
    assert tuf_client.asked()[4:] == [f"1.{name}" for name in visited.split()]


@pytest.mark.parametrize("role", ["?", "#", "/delegatedrole", "../delegatedrole", "delegated role"])
def test_unusual_names_of_roles_stay_within_request_and_folder(tuf_client: Client, role: str) -> None:
    tuf_client.repository.delegate(TARGETS, role, ["*"])
    tuf_client.repository.publish_all()
    assert tuf_client.init() == 0
    assert tuf_client.download("nonexistent") == 1
    assert f"1.{role}" in tuf_client.asked()
    assert tuf_client.roles == 5
    assert {path.name for path in tuf_client.metadata.parent.iterdir()} == {"metadata", "initial_root.json"}


def test_a_target_is_found_in_its_hash_bin_with_one_question(tuf_client: Client) -> None:
    tuf_client.repository.delegate_bins("bin", 4)
    role = tuf_client.repository.bin_of("some/path")
    tuf_client.repository.add_target("some/path", b"content", role)
    tuf_client.repository.publish_all()
    assert tuf_client.init() == 0
    assert tuf_client.download("some/path") == 0
    assert tuf_client.asked()[4:] == [f"1.{role}"]


# -- targets
@pytest.mark.parametrize("path", ["target_file.txt", "path/to/a/target_file.txt"])
def test_a_target_is_downloaded_by_download_only(tuf_client: Client, path: str) -> None:
    tuf_client.repository.add_target(path, b"target file contents")
    tuf_client.repository.publish_all()
    assert tuf_client.init() == 0
    assert tuf_client.refresh() == 0
    assert tuf_client.downloaded == []
    assert tuf_client.download(path) == 0
    assert tuf_client.downloaded == [b"target file contents"]


def test_bytes_that_were_not_signed_are_not_kept(tuf_client: Client) -> None:
    repository = tuf_client.repository
    for name in ("one", "two"):
        repository.add_target(name, name.encode())
    repository.publish_all()
    assert tuf_client.init() == 0
    assert tuf_client.download("one") == 0
    for name in ("one", "two"):
        repository.replace_target(name, b"malicious")
    tuf_client.download("one")
    assert tuf_client.download("two") == 1
    assert tuf_client.downloaded == [b"one"]


def test_a_target_that_changes_again_and_again_is_replaced_and_never_by_what_is_unsigned(
    tuf_client: Client,
) -> None:
    repository = tuf_client.repository
    assert tuf_client.init() == 0
    for turn in range(3):
        repository.add_target("file", f"contents {turn}".encode())
        repository.publish_all()
        assert tuf_client.download("file") == 0
        assert tuf_client.downloaded == [f"contents {turn}".encode()]
        repository.replace_target("file", b"malicious")
        repository.publish_all()
        tuf_client.download("file")
        assert tuf_client.downloaded == [f"contents {turn}".encode()]

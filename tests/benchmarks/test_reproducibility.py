"""A build's digest does not depend on hash seeds, threads or folders (compiler 6.2)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.reproducibility import compared, ways


def test_a_build_under_another_hash_seed_and_another_thread_count_gives_the_same_digest(
    tmp_path: Path,
) -> None:
    """Both differ at once: what depends on either makes two digests."""
    first, _, _, last = ways({"this": sys.executable})
    rows = compared("motion", (first, last), tmp_path)
    assert [(row["hash seed"], row["threads"]) for row in rows] == [(0, 1), (4242, 4)]
    assert_one_digest(rows)


@pytest.mark.soak
def test_the_same_build_under_two_hash_seeds_and_two_thread_counts_gives_one_digest(tmp_path: Path) -> None:
    rows = compared("motion", ways({"this": sys.executable}), tmp_path)
    assert {(row["hash seed"], row["threads"]) for row in rows} == {(0, 1), (0, 4), (4242, 1), (4242, 4)}
    assert_one_digest(rows)


def assert_one_digest(rows: list[dict[str, object]]) -> None:
    digests = {str(row["digest"]) for row in rows}
    assert len(digests) == 1, rows
    assert digests.pop().startswith("sha256:"), rows


def test_every_python_meets_every_seed_and_thread_count() -> None:
    assert len(ways({"3.11": "a", "3.12": "b"})) == 8

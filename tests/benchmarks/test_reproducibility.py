"""A build's digest does not depend on hash seeds, threads or folders (compiler 6.2)."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.reproducibility import compared, ways


def test_the_same_build_under_two_hash_seeds_and_two_thread_counts_gives_one_digest(tmp_path: Path) -> None:
    rows = compared("motion", {"this": sys.executable}, tmp_path)
    assert {(row["hash seed"], row["threads"]) for row in rows} == {(0, 1), (0, 4), (4242, 1), (4242, 4)}
    digests = {str(row["digest"]) for row in rows}
    assert len(digests) == 1, rows
    assert digests.pop().startswith("sha256:"), rows


def test_every_python_meets_every_seed_and_thread_count() -> None:
    assert len(ways({"3.11": "a", "3.12": "b"})) == 8

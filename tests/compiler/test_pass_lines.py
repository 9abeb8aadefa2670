"""Progress lines: one per pass that did something, one per kind of candidate."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from limosa_compiler.pass_lines import NAME_WIDTH, collapsed, families, line_of
from limosa_compiler.passes import PassReport

AT_A_TERMINAL = """
from limosa_compiler.pass_lines import pass_lines
from limosa_compiler.passes import PassReport
show = pass_lines()
for name in ("make int8-minmax", "make int8-mse", "measure fp32"):
    show(PassReport(name=name, nodes_before=1, nodes_after=1, seconds=0.1))
"""


def report(
    name: str, *, seconds: float = 0.0, changed: int = 0, note: str = "", error: float | None = None
) -> PassReport:
    return PassReport(
        name=name,
        nodes_before=4,
        nodes_after=4,
        seconds=seconds,
        changed=changed,
        note=note,
        max_abs_error=error,
    )


def test_passes_without_time_or_effect_share_the_next_line() -> None:
    shown: list[PassReport] = []
    show = collapsed(shown.append)
    for one in (report("a"), report("b"), report("c", seconds=0.2, note="200 rows"), report("d", changed=2)):
        show(one)
    assert [one.name for one in shown] == ["c", "d"]
    assert shown[0].note == "200 rows, and 2 without effect before it"
    assert shown[1].note == ""


def test_candidates_of_one_kind_share_a_line_and_are_seen_one_by_one_at_a_terminal() -> None:
    shown: list[PassReport] = []
    seen: list[PassReport] = []
    show = families(shown.append, peek=seen.append)
    made = [
        report("make fp16", seconds=0.1, error=0.001),
        report("make int8-dynamic", seconds=0.1, error=0.2),
        report("make int8-7bit-core-p99.999", seconds=0.2, error=0.05),
        report("make int8-minmax", seconds=0.3),
        report("make litert-int8-mse", seconds=0.3),
        report("measure fp32", note="accuracy 0.9"),
    ]
    for one in made:
        show(one)
    assert seen == made[:-1]
    assert [one.name for one in shown] == ["make fp16", "make int8", "make litert-int8-mse", "measure fp32"]
    assert round(shown[1].seconds, 6) == 0.6
    assert shown[1].note == "3 candidates  max error 0.05 to 0.2"


def test_longest_names_stay_in_their_column() -> None:
    lines = [line_of(report(name)) for name in ("make int8", "measure int8-7bit-core-p99.999-float16")]
    assert len({line.index(" ms") for line in lines}) == 1
    assert all(len(line.split("  ")[0]) <= NAME_WIDTH + 1 for line in lines)


def test_at_a_terminal_each_candidate_is_shown_until_the_next_one_and_one_line_stays(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    log = tmp_path / "out"
    try:
        with log.open("wb") as out:
            subprocess.run(
                [sys.executable, "-c", AT_A_TERMINAL],
                stderr=theirs,
                stdout=out,
                check=True,
                timeout=60,
                env={**os.environ, "TERM": "xterm", "NO_COLOR": "", "COLUMNS": "100"},
            )
        text = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "make int8-minmax" in text
    lines = text.rstrip().split("\n")
    assert len(lines) == 2, text
    assert lines[0].split("\r\x1b[2K")[-1].replace("\x1b[32m", "").startswith("make int8")
    assert "2 candidates" in lines[0]
    assert "measure fp32" in lines[1]
    assert log.read_bytes() == b""

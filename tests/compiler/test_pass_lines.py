"""Progress lines: one per pass that did something."""

from __future__ import annotations

from limosa_compiler.pass_lines import collapsed
from limosa_compiler.passes import PassReport


def report(name: str, *, seconds: float = 0.0, changed: int = 0, note: str = "") -> PassReport:
    return PassReport(name=name, nodes_before=4, nodes_after=4, seconds=seconds, changed=changed, note=note)


def test_passes_without_time_or_effect_share_the_next_line() -> None:
    shown: list[PassReport] = []
    show = collapsed(shown.append)
    for one in (report("a"), report("b"), report("c", seconds=0.2, note="200 rows"), report("d", changed=2)):
        show(one)
    assert [one.name for one in shown] == ["c", "d"]
    assert shown[0].note == "200 rows, and 2 without effect before it"
    assert shown[1].note == ""

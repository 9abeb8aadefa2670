"""How often the judge is wrong: `python benchmarks/judge_power.py [--json] [--quick] [--seed N]`.

Fleets with devices that differ, hours that go together, sites with weather, and half of the devices away
half of the time (benchmarks/judge_fleet.py) are judged at the default settings. A *false abort*: a build
as good as the one before is stopped at any look of any wave of its rollout. A *false promote*: a build
that is worse by the margin passes the first wave. Bars: both below 5 % of all rounds, for each harm.

A round that is *inconclusive* after its bake was doubled ends there, for a person would be asked: it counts
as neither error, is not run on into the waves that would follow, and has a column of its own. Beside the
judge stand five rules of thumb on the same worlds; they have no third answer, so what they do not stop they
promote.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

import numpy as np

from benchmarks.bars import Bar, finish, print_table
from benchmarks.judge_fleet import BAKE_H, Harm, World, make_world
from benchmarks.judge_naive import RULES
from limosa_contracts.rollout.analysis import DEFAULT_ANALYSIS, LOOKS
from limosa_contracts.rollout.metrics import METRICS
from limosa_server.core.judging.compare import find, verdict_of
from limosa_server.core.judging.finding import share_margin
from limosa_server.core.judging.judge import Verdict
from limosa_server.core.judging.samples import Comparison
from limosa_server.core.judging.spending import Look, wave_share

BAR: Final = 0.05
ROLLOUT: Final = ((20, 80), (80, 100), (80, 20))
"""Waves of a group of 200 with the default waves: treated, controls; in the last a fifth is held back."""
CANARIES: Final = ((20, 80), (100, 100))
FULL, QUICK = 300, 100  # worlds of each kind


def harms(treated: int) -> list[Harm]:
    """Each exactly as bad as its margin allows, and no worse: the hardest to refuse."""
    share = share_margin(treated)
    return [
        *(Harm(name=rate, rate=rate, more=share) for rate in ("failures", "crashes", "errors", "silence")),
        Harm(name="latency", latency=1 + (METRICS["latency"].margin or 0)),
        Harm(name="memory", memory=1 + (METRICS["memory"].margin or 0)),
        Harm(name="class_distance", distance=METRICS["class_distance"].margin or 0),
    ]


def judge_wave(world: World, *, wave: int, waves: int) -> Verdict:
    """All looks of one wave, as the controller takes them."""
    share = wave_share(wave, waves)
    for number in range(1, LOOKS + 1):
        verdict = _look(world, Look(number=number, of=LOOKS, wave_share=share), BAKE_H * number / LOOKS)
        if verdict is Verdict.FAILED or (number == LOOKS and verdict is Verdict.PASSED):
            return verdict
    return _look(world, Look(number=LOOKS, of=LOOKS, extension=True, wave_share=share), 2 * BAKE_H)


def _look(world: World, look: Look, hours: float) -> Verdict:
    inputs = Comparison(
        wave="canary",
        look=look,
        baked_s=hours * 3600,
        devices=(world.treated, world.devices - world.treated),
        rules=DEFAULT_ANALYSIS,
        samples=world.samples(hours),
    )
    return verdict_of(find(inputs), last=look.last)


def same_build(rng: np.random.Generator, rounds: int) -> tuple[dict[str, object], Bar]:
    """Rollouts of a build that is no worse: how many are stopped, wait, or go through."""
    ends: Counter[str] = Counter()
    naive: Counter[str] = Counter()
    for _ in range(rounds):
        worlds = [make_world(rng, n, m, Harm()) for n, m in ROLLOUT]
        verdicts = [Verdict.PASSED]
        for wave, world in enumerate(worlds):
            if verdicts[-1] is Verdict.PASSED:
                verdicts.append(judge_wave(world, wave=wave, waves=len(worlds)))
        ends[verdicts[-1].value] += 1
        naive.update(name for name, rule in RULES.items() if any(rule(world) for world in worlds))
    row = _row("rollout of 200, same build", ends, rounds, "false abort", Verdict.FAILED)
    row |= {name: _percent(naive[name], rounds) for name in RULES}
    return row, _bar("false_abort", ends[Verdict.FAILED.value], rounds)


def worse_builds(
    rng: np.random.Generator, treated: int, control: int, rounds: int
) -> tuple[list[dict[str, object]], list[Bar]]:
    rows, bars = [], []
    for harm in harms(treated):
        ends: Counter[str] = Counter()
        naive: Counter[str] = Counter()
        for _ in range(rounds):
            world = make_world(rng, treated, control, harm)
            ends[judge_wave(world, wave=0, waves=len(ROLLOUT)).value] += 1
            naive.update(name for name, rule in RULES.items() if not rule(world))
        name = f"{treated} against {control}, worse {harm.name}"
        row = _row(name, ends, rounds, "false promote", Verdict.PASSED)
        rows.append(row | {rule: _percent(naive[rule], rounds) for rule in RULES})
        bars.append(
            _bar(f"false_promote_{harm.name}_{treated}_{control}", ends[Verdict.PASSED.value], rounds)
        )
    return rows, bars


def _row(name: str, ends: Counter[str], rounds: int, error: str, wrong: Verdict) -> dict[str, object]:
    return {
        "world": name,
        "rounds": rounds,
        "error": error,
        "judge": _percent(ends[wrong.value], rounds),
        "stopped": _percent(ends[Verdict.FAILED.value], rounds),
        "inconclusive": _percent(ends[Verdict.INCONCLUSIVE.value], rounds),
        "passed": _percent(ends[Verdict.PASSED.value], rounds),
    }


def _bar(name: str, wrong: int, rounds: int) -> Bar:
    return Bar(name=name, limit=BAR, value=wrong / rounds)


def _percent(count: int, of: int) -> str:
    return f"{100 * count / of:.1f} %"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="fewer worlds, and one size of a wave")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(options.seed)
    rounds = QUICK if options.quick else FULL
    started = time.monotonic()
    first, bar = same_build(rng, rounds)
    rows, bars = [first], [bar]
    for treated, control in CANARIES[:1] if options.quick else CANARIES:
        more, limits = worse_builds(rng, treated, control, rounds)
        rows += more
        bars += limits
    print_table(rows)
    sys.stderr.write(f"{time.monotonic() - started:.0f} s\n")
    return finish(rows, bars, as_json=options.json, packages=("limosa", "numpy"))


if __name__ == "__main__":
    sys.exit(main())

"""Where the sensitivity search starts, how many rows it may look at, and what comes of it (compiler 2.5)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from limosa_compiler.errors import ModelRefused
from limosa_compiler.evidence.parts import NodeSensitivity
from limosa_compiler.limits import LIMITS
from limosa_compiler.loading.loaded import Loaded
from limosa_compiler.passes import OnPass
from limosa_compiler.rungs.rung import Material
from limosa_compiler.rungs.static_int8 import CORE_OPERATORS, WEIGHT_BITS, WEIGHT_BITS_SATURATING, Setting
from limosa_compiler.running.runner import Runner
from limosa_compiler.running.runs import Runs
from limosa_compiler.search.candidate import FP32, Candidate
from limosa_compiler.search.ladder import Ladder, step
from limosa_compiler.search.noise import SQNR_MAX_DB
from limosa_compiler.search.sensitivity import Holds, Sample, Search, rank, search
from limosa_compiler.search.strategies import saturates
from limosa_contracts.profiles import Profile


def searched(
    found: Ladder,
    loaded: Loaded,
    lacking: Sequence[Profile],
    *,
    float_nodes_max: int,
    holds: Holds,
    on_pass: OnPass,
) -> Ladder:
    """The ladder with what the search found for targets whose smallest int8 candidates miss the gate.

    Searched once for each number of bits that such targets need; a node's sensitivity is that of the
    number of bits that it stands worst.
    """
    material = found.material
    assert material is not None, "only a ladder of onnxruntime is searched"
    sample = _sample(found, loaded, material, LIMITS.noise_bytes)
    bits = {WEIGHT_BITS_SATURATING if saturates(profile) else WEIGHT_BITS for profile in lacking}
    nodes = len(material.prepared.graph.node)
    made: list[Candidate] = []
    rankings: list[Sequence[NodeSensitivity]] = []
    reports = list(found.reports)

    def report(name: str, begin: float, note: str) -> None:
        reports.append(step(name, nodes=nodes, begin=begin, note=note))
        on_pass(reports[-1])

    for count in sorted(bits, reverse=True):
        starts = _starts(found, sample, count)
        if not starts:
            continue
        begin = time.perf_counter()
        ranking = rank(material, starts[0], sample, load=load_step, nodes_max=LIMITS.ranked_nodes_max)
        rankings.append(ranking)
        report(f"rank nodes {starts[0].name}", begin, _said(ranking))
        for setting in starts:
            begin = time.perf_counter()
            worst = [item for item in ranking if item.op_type in CORE_OPERATORS or not setting.core_only]
            steps = Search(material=material, setting=setting, ranking=worst, sample=sample, load=load_step)
            known = {item.digest for item in (*found.candidates, *made)}
            new = [
                item
                for item in search(steps, float_nodes_max=float_nodes_max, holds=holds)
                if item.digest not in known
            ]
            made.extend(new)
            note = f"{len(steps.made)} models tried, {len(new)} worth measuring"
            report(f"search {setting.name}", begin, note)
    for item in made:
        found.runners.add(item.name, lambda one=item: loaded.runner(one.model, one.name))  # type: ignore[misc]  # bound now
    return replace(
        found,
        candidates=(*found.candidates, *made),
        reports=tuple(reports),
        sensitivity=worst_of(rankings),
    )


def worst_of(rankings: Sequence[Sequence[NodeSensitivity]]) -> tuple[NodeSensitivity, ...]:
    """Each node as the ranking has it that found it worst; worst first, of equals in the order given."""
    found: dict[str, NodeSensitivity] = {}
    for ranking in rankings:
        for item in ranking:
            known = found.get(item.name)
            if known is None or item.sqnr_db < known.sqnr_db:
                found[item.name] = item
    return tuple(sorted(found.values(), key=lambda item: item.sqnr_db))


def ranked_for_report(found: Ladder, loaded: Loaded, *, on_pass: OnPass) -> Ladder:
    """Each node's sensitivity, where it costs little: a search was not needed, but people look at it.

    By the first setting that the ladder has a candidate of, 8 bits before 7, the widest ranges first.
    """
    material = found.material
    assert material is not None, "only a ladder of onnxruntime is ranked"
    names = {item.name: item for item in found.candidates}
    settings = [
        Setting(ranges=ranges, core_only=False, weight_bits=bits)
        for bits in (WEIGHT_BITS, WEIGHT_BITS_SATURATING)
        for ranges in material.ranges.names
    ]
    setting = next((item for item in settings if item.name in names), None)
    if setting is None or _rows(material, LIMITS.noise_report_bytes) < LIMITS.noise_rows_min:
        return found
    begin = time.perf_counter()
    sample = _sample(found, loaded, material, LIMITS.noise_report_bytes)
    ranking = rank(material, setting, sample, load=load_step, nodes_max=LIMITS.ranked_nodes_max)
    nodes = len(material.prepared.graph.node)
    report = step(f"rank nodes {setting.name}", nodes=nodes, begin=begin, note=_said(ranking))
    on_pass(report)
    return replace(found, sensitivity=ranking, reports=(*found.reports, report))


def _starts(found: Ladder, sample: Sample, weight_bits: int) -> tuple[Setting, ...]:
    """Of settings with so many bits: the least noisy one of all operators, and that of the core alone.

    The less noisy of the two first; () where the ladder has no candidate of such a setting.
    """
    made = {item.name for item in found.candidates}
    best: list[tuple[float, Setting]] = []
    for core_only in (True, False):
        noises: list[tuple[float, Setting]] = []
        for ranges in found.ranges.names if found.ranges else ():
            setting = Setting(ranges=ranges, core_only=core_only, weight_bits=weight_bits)
            if setting.name in made:
                noises.append((_noise(found, sample, setting.name), setting))
        best.extend(sorted(noises, key=lambda pair: -pair[0])[:1])
    return tuple(setting for _, setting in sorted(best, key=lambda pair: -pair[0]))


def _noise(found: Ladder, sample: Sample, name: str) -> float:
    try:
        return sample.noise_of(load_step(found.candidate(name).model, name))
    except ModelRefused:
        return -SQNR_MAX_DB


def _sample(found: Ladder, loaded: Loaded, material: Material, budget: int) -> Sample:
    rows = max(LIMITS.noise_rows_min, min(LIMITS.noise_rows_max, _rows(material, budget)))
    inputs = loaded.sample(rows)
    return Sample(inputs=inputs, answers=load_step(found.candidate(FP32).model, FP32).predict(inputs))


def load_step(model: bytes, what: str) -> Runs:
    """Of a model with states: one step, fed with states as calibration saw them."""
    return Runner(model, what=what)


def _rows(material: Material, budget: int) -> int:
    """Rows that all nodes can be tried on, for so many bytes of activations."""
    return budget // max(1, len(material.prepared.graph.node) * material.row_bytes)


def _said(ranking: Sequence[NodeSensitivity]) -> str:
    if not ranking:
        return "none"
    return f"{len(ranking)} nodes, worst {ranking[0].op_type} with {ranking[0].sqnr_db:.1f} dB"

"""A target that is left without a candidate ends the build, with what came closest (compiler 2.7)."""

from __future__ import annotations

from collections.abc import Sequence

from limosa_compiler.choice.choose import Choice, Standing
from limosa_compiler.choice.gates import impossible, shortfall
from limosa_compiler.errors import GateNotMet
from limosa_compiler.evidence.candidates import choice_json
from limosa_compiler.measuring.measure import Measured, Pruned
from limosa_compiler.metrics import Metric
from limosa_compiler.recipe.gate import Gate


def require_chosen(
    choices: Sequence[Choice],
    measured: Sequence[Measured],
    pruned: Sequence[Pruned],
    *,
    gate: Gate,
    metric: Metric,
) -> None:
    """No target is left out silently. Raises GateNotMet, whose `evidence` has every attempt.

    What the target never takes is no near miss, however good it is: it comes last.
    """
    for choice in choices:
        if choice.chosen is not None:
            continue
        reasons = {verdict.candidate: verdict.reason for verdict in choice.verdicts}
        never = {item.candidate for item in choice.verdicts if item.standing is Standing.NOT_FOR_TARGET}
        ranked = sorted(measured, key=lambda item: (item.name in never, shortfall(item, gate, metric)))
        names = [*(item.name for item in ranked), *(item.name for item in pruned)]
        attempts = "; ".join(f"{name}: {reasons[name]}" for name in names[:3])
        raise GateNotMet(
            f"no candidate may be shipped to {choice.target}",
            where="gate",
            why=f"closest first: {attempts}",
            hint=impossible(gate, metric)
            or "train a better model, give more evaluation rows, or change [gate]",
            evidence={
                "gate": gate.as_json(),
                "metric": metric.name,
                "target": choice_json(choice),
                "closest": [
                    {
                        "candidate": item.name,
                        "misses_by_points": shortfall(item, gate, metric),
                        "tune": item.tune.as_json(),
                        "holdout": item.holdout.as_json(),
                        "size_bytes": item.size,
                    }
                    for item in ranked
                ],
                "pruned": [{"candidate": item.name, "reason": item.reason} for item in pruned],
            },
        )

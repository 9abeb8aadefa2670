"""What there is to say about choices once they are made: warnings, and promises that are kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.artifact.archive_file import Archive
from limosa_compiler.choice.choose import Choice, Standing
from limosa_compiler.choice.promises import Promise, promise_of
from limosa_compiler.errors import PromiseBroken
from limosa_compiler.evidence.provenance import machine
from limosa_compiler.measuring.measure import Measured
from limosa_compiler.measuring.scores import small_slices
from limosa_contracts.profiles import Profile


def choice_warnings(choices: Sequence[Choice], measured: Sequence[Measured]) -> tuple[str, ...]:
    """How often holdout rows were looked at, and slices that are too small for a verdict."""
    found: list[str] = []
    for choice in choices:
        failed = [item.candidate for item in choice.verdicts if item.standing is Standing.HOLDOUT]
        if failed:
            found.append(
                f"{choice.target}: holdout rows were looked at {choice.holdout_looks} times, since "
                f"{', '.join(failed)} failed there: the confirmation of the choice is weaker for it"
            )
    if measured:
        found += small_slices(measured[0].tune_slices, part="tune")
        found += small_slices(measured[0].holdout_slices, part="holdout")
    return tuple(found)


def data_warnings(
    measured: Sequence[Measured], labels: Array | None, *, metric: str, same_source: bool
) -> tuple[str, ...]:
    """What makes the figures of a build doubtful, although nothing about them is wrong.

    `labels` [N] of the tune rows; `same_source`: calibration and evaluation are one file.
    """
    found: list[str] = []
    if same_source:
        found.append(
            "calibration and evaluation are the same data: ranges were fitted to the rows that judge them"
        )
    if metric == "accuracy" and measured and labels is not None and labels.size:
        _, counts = np.unique(labels, return_counts=True)
        usual = float(counts.max() / labels.size)
        if len(counts) > 1 and measured[0].tune.metric <= usual:
            found.append(
                f"the model is right for {measured[0].tune.metric:.1%} of the tune rows, the most frequent "
                f"class alone would be for {usual:.1%}: are labels and rows in the same order?"
            )
    return tuple(found)


def promises_of(
    choices: Sequence[Choice], measured: Sequence[Measured], profiles: Sequence[Profile], archive: Archive
) -> tuple[Promise, ...]:
    """One for each target. Raises PromiseBroken where a limit of the target is not kept."""
    by_name = {item.name: item for item in measured}
    files = {
        variant.name: sum(layer.size for layer in variant.manifest.layers) for variant in archive.variants
    }
    promises = tuple(
        promise_of(by_name[choice.chosen or ""], profile, files_bytes=files[profile.name], machine=machine())
        for choice, profile in zip(choices, profiles, strict=True)
    )
    for promise in promises:
        if promise.broken:
            raise PromiseBroken(
                f"what {promise.target} would get is more than it takes",
                where=f"targets: {promise.target}",
                why=f"{promise.candidate} with all that is shipped with it: {'; '.join(promise.broken)}",
                evidence=promise.as_json(),
            )
    return promises

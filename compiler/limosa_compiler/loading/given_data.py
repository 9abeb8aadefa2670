"""Calibration and evaluation data of one recipe: fitted to the model, checked, labels as the metric wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from limosa_compiler.arrays import Array
from limosa_compiler.data import Rows, RowStream, fit_rows, read_arrays, require_labels
from limosa_compiler.data.checks import extremes_of, refuse_missing, refuse_never_moved
from limosa_compiler.data.functions import StreamedRows
from limosa_compiler.data.labels import class_indexes
from limosa_compiler.errors import TooFewRows
from limosa_compiler.external.entry_point import EntryPoint
from limosa_compiler.limits import LIMITS
from limosa_compiler.metrics import Metric
from limosa_compiler.recipe import Recipe
from limosa_compiler.recipe.data import DataNotes
from limosa_compiler.recipe.inputs import InputNotes
from limosa_compiler.running.stateful import State
from limosa_contracts.serving import TensorSpec

_ALLOW_MISSING = "if the model expects missing values: [data] missing_values = true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What data must be for one model and one metric."""

    data: DataNotes
    specs: tuple[TensorSpec, ...]  # without states: those are no data
    notes: Mapping[str, InputNotes]
    metric: Metric
    classes: Sequence[str]
    own: bool  # classes are the model's own
    sequences: bool  # rows are [steps, ...]

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        inputs: Sequence[TensorSpec],
        states: Sequence[State],
        *,
        metric: Metric,
        classes: Sequence[str],
        own: bool,
    ) -> Wanted:
        fed = {state.input for state in states}
        return cls(
            data=recipe.data,
            specs=tuple(spec for spec in inputs if spec.name not in fed),
            notes=recipe.inputs,
            metric=metric,
            classes=classes,
            own=own,
            sequences=bool(states),
        )

    @property
    def texts(self) -> frozenset[str]:
        """Columns of a table that are read as they are written."""
        found = set(self.data.slices)
        for spec in self.specs:
            if spec.dtype == "BYTES":
                found.update(self.notes.get(spec.name, InputNotes()).columns or (spec.name,))
        return frozenset(found)

    def fit(self, arrays: Mapping[str, Array], *, where: str, slices: Sequence[str] = ()) -> Rows:
        return fit_rows(
            arrays,
            self.specs,
            label=self.data.label,
            where=where,
            notes=self.notes,
            slices=slices,
            sequences=self.sequences,
        )


def read_evaluation(wanted: Wanted) -> Rows:
    """Raises RequestErrors: DataMismatch, DataUnreadable, LabelsMissing, TooFewRows, EntryPointFailed."""
    data, where = wanted.data, wanted.data.evaluation.name
    arrays = read_arrays(data.evaluation, texts=wanted.texts, label=data.label)
    rows = wanted.fit(arrays, where=where, slices=data.slices)
    if wanted.metric.needs_labels:
        require_labels(rows, label=data.label, known=tuple(arrays), where=where)
    if rows.count < LIMITS.evaluation_rows_min:
        raise TooFewRows(
            f"there are {rows.count} evaluation rows",
            where=where,
            why=f"fewer than {LIMITS.evaluation_rows_min} say nothing about a model",
        )
    if not data.missing_values:
        refuse_missing(rows, where=where, hint=_ALLOW_MISSING)
    if rows.labels is not None and wanted.metric.classifies:
        rows = replace(rows, labels=class_indexes(rows.labels, wanted.classes, own=wanted.own, where=where))
    return rows


def read_calibration(wanted: Wanted, evaluation: Rows) -> RowStream:
    """Rows, or a stream of them where a function makes them. Raises RequestErrors as above."""
    source, where = wanted.data.calibration, wanted.data.calibration.name
    if isinstance(source, EntryPoint):
        stream = StreamedRows(
            entry=source,
            fit=partial(_fit_batch, wanted, where),
            label=wanted.data.label,
            rows_max=LIMITS.calibration_rows_max,
        )
        refuse_never_moved(stream.extremes, evaluation, where=where)
        return stream
    arrays = read_arrays(source, texts=wanted.texts, label=wanted.data.label)
    rows = wanted.fit(arrays, where=where).first(LIMITS.calibration_rows_max)
    refuse_missing(rows, where=where, hint=_hint(wanted))
    refuse_never_moved(extremes_of(rows.inputs), evaluation, where=where)
    return rows


def _fit_batch(wanted: Wanted, where: str, arrays: Mapping[str, Array]) -> Rows:
    rows = wanted.fit(arrays, where=where)
    refuse_missing(rows, where=where)
    return rows


def _hint(wanted: Wanted) -> str:
    return "calibrate with rows in which nothing is missing" if wanted.data.missing_values else ""

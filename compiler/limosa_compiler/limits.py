"""What the compiler accepts and spends; each limit with its unit and reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from limosa_contracts.limits import LIMITS as CONTRACT


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLimits:
    """For the first load of a foreign model, and for golden vectors (trust 7.2)."""

    memory_bytes: int = 2 * 1024**3  # address space; the runtime and numpy map 1 GiB before any model
    memory_per_model_byte: int = 6  # file, parsed, initializers, packed weights: large models may use more
    cpu_s: int = 120
    wall_s: float = 180.0
    answer_max_bytes: int = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilerLimits:
    model_max_bytes: int = CONTRACT.blob_max_bytes  # it becomes one layer
    nodes_max: int = 1_000_000  # with functions written out; large language models have some 10,000
    function_depth_max: int = 64  # functions that call functions
    labels_max: int = 100_000  # class labels that a model carries itself
    graph_depth_max: int = 16  # graphs in branches and loops; real ones have 1 to 3 levels
    recipe_max_bytes: int = 1024 * 1024
    table_rows_max: int = 10_000_000  # of a .csv
    array_max_bytes: int = 8 * 1024**3  # one array of calibration or evaluation data
    alphabet_max: int = 65_536  # entries of `classes`: what a reader of texts may tell apart
    slice_rows_min: int = 30  # fewer on tune or holdout: the slice gets a warning, not a verdict
    slice_values_max: int = 64  # different values of one column of slices
    prune_rows_min: int = 50  # fewer: nothing is called a clear failure
    batch_rows: int = 64  # rows per run: bounds memory while calibrating and measuring
    holdout_rows_min: int = 200  # fewer: the report warns (compiler 2.7)
    evaluation_rows_min: int = 20  # fewer: nothing can be said
    calibration_rows_max: int = 4096  # more do not change a range, they only take time
    run_bytes: int = 512 * 1024 * 1024  # of all activations of one run, reused memory counted each time
    activation_bytes: int = 192 * 1024 * 1024  # that calibration holds at once
    calibration_kept_bytes: int = 1024**3  # of activations: a table that took less is not worth keeping
    measure_all_bytes: int = 4 * 1024**3  # of activations of all tune rows: more, and misses are not timed
    compare_rows: int = 16  # on which a candidate is first compared with fp32
    noise_rows_max: int = 32  # on which nodes are ranked
    noise_rows_min: int = 4
    noise_bytes: int = 16 * 1024**3  # of activations while nodes are ranked: fewer rows for larger models
    noise_report_bytes: int = 2 * 1024**3  # the same where only the report asks
    quantized_nodes_max: int = 3000  # the quantizer's time grows with their square: about a minute here
    ranked_nodes_max: int = 512
    float_nodes_max: int = 4096  # that a recipe may allow the sensitivity search
    weights_share_min: float = 0.1  # of the model that weight-only rungs must change to be worth a try
    int4_weights_min: int = 16_384  # numbers of a matrix; smaller ones gain nothing from 4 bits
    golden_cases: int = 24
    golden_steps: int = 512  # of sequences, that golden cases are taken from
    baseline_steps: int = 20_000  # of sequences, that the baseline counts
    golden_cases_min: int = 4
    golden_min_bytes: int = 256 * 1024  # a small model's golden vectors may take this much all the same
    golden_max_bytes: int = 8 * 1024 * 1024  # inputs and outputs; large ones get fewer cases
    features_per_tensor_max: int = 64
    features_max: int = CONTRACT.features_max
    child: ChildLimits = ChildLimits()


LIMITS: Final = CompilerLimits()

"""First passes: what comes in is refused for a reason, or becomes a model that devices load.

Each is a trap that a real model fell into (compiler 2.1, 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from limosa_compiler.ingest.functions import refuse_custom_operators
from limosa_compiler.ingest.gemm import flatten_gemm_bias
from limosa_compiler.ingest.given_inputs import fix_axes, give_constants
from limosa_compiler.ingest.locales import use_portable_locale
from limosa_compiler.ingest.naming import drop_constant_inputs, name_nodes
from limosa_compiler.ingest.notes import strip_notes
from limosa_compiler.ingest.parsing import STANDARD_DOMAINS, opset_of, parse_model
from limosa_compiler.ingest.refusals import (
    check_model,
    refuse_chance,
    refuse_external_data,
    refuse_long_names,
)
from limosa_compiler.ingest.states import put_batch_first
from limosa_compiler.ingest.versions import IR_MAX, IR_MIN, OPSET_MAX, OPSET_MIN, OPSET_OLDEST, pin_versions
from limosa_compiler.ingest.weights import refuse_broken_weights
from limosa_compiler.ingest.zipmap import unzip_maps
from limosa_compiler.passes import Pass

__all__ = [
    "INGEST",
    "IR_MAX",
    "IR_MIN",
    "OPSET_MAX",
    "OPSET_MIN",
    "OPSET_OLDEST",
    "STANDARD_DOMAINS",
    "name_nodes",
    "opset_of",
    "parse_model",
]

INGEST: Final[Sequence[Pass]] = (
    refuse_external_data,
    strip_notes,
    unzip_maps,
    pin_versions,
    check_model,
    refuse_custom_operators,
    refuse_chance,
    drop_constant_inputs,
    name_nodes,
    refuse_long_names,
    refuse_broken_weights,
    flatten_gemm_bias,
    fix_axes,
    give_constants,
    put_batch_first,
    use_portable_locale,
)

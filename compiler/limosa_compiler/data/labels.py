"""Labels as class indexes, in the order of the model's scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from limosa_compiler.arrays import Array, as_texts, is_text
from limosa_compiler.errors import DataMismatch


def class_indexes(labels: Array, classes: Sequence[str], *, own: bool, where: str) -> Array:
    """Labels that are texts become positions in `classes`; numbers stay as they are.

    With `own`, classes are those that the model carries itself, and numbers are among them too
    (a classifier of the classes 3, 7, 9 answers at 0, 1, 2). Raises DataMismatch.
    """
    numbered = [str(number) for number in range(len(classes))]
    if not is_text(labels) and (not own or list(classes) == numbered or labels.dtype.kind not in "iu"):
        return labels
    if not classes:
        raise DataMismatch(
            "labels are texts, and no classes are named",
            where=where,
            hint="classes = [...] in the recipe, in the order of the model's scores",
        )
    index = {name: position for position, name in enumerate(classes)}
    flat = as_texts(labels).ravel().tolist()
    for row, text in enumerate(flat):
        if text not in index:
            raise DataMismatch(
                f"label {text[:80]!r} is none of the classes",
                where=where,
                why=f"row {row}; classes: {', '.join(classes)[:200]}",
            )
    return np.array([index[text] for text in flat], dtype=np.int64).reshape(labels.shape)

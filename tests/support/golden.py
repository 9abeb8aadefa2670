"""Golden documents: one file per document and version of it, as it went over the wire when it was agreed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from limosa_contracts.canonical import encode_canonical

GOLDEN = Path(__file__).parent.parent / "contracts" / "golden"
LATER: dict[str, Any] = {"x-later": {"nested": [1, "two", None]}}
"""A field that some later version may add."""
GONE = object()


def golden(name: str) -> dict[str, Any]:
    """The document in `NAME.json`."""
    value: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return value


def golden_bytes(name: str) -> bytes:
    """As it goes over the wire."""
    return encode_canonical(golden(name))


def changed(name: str, path: str, value: object) -> dict[str, Any]:
    """The document with the field at a dotted path set, or taken out if the value is GONE."""
    document = golden(name)
    *way, last = path.split(".")
    here: Any = document
    for step in way:
        here = here[int(step)] if isinstance(here, list) else here[step]
    key = int(last) if isinstance(here, list) else last
    if value is GONE:
        del here[key]
    else:
        here[key] = value
    return document


def changed_bytes(name: str, path: str, value: object) -> bytes:
    return encode_canonical(changed(name, path, value))

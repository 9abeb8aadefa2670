"""Calibration tables of earlier builds, kept in the user's cache folder (compiler 8).

A table is looked up by everything that it depends on, so a hit is what would be computed. What is
there and cannot be read is a miss: it is computed again and replaced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

import numpy as np
import onnx
import onnxruntime

from limosa_compiler.artifact.whole_files import written_at_once
from limosa_compiler.calibration.calibrate import HISTOGRAM_BINS, VALUES_PER_ROW, VERSION
from limosa_compiler.calibration.range_table import SHARES, RangeTable
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import InvalidField, InvalidJson, TooLarge
from limosa_contracts.fields import Fields

MAX_BYTES: Final = 64 * 1024 * 1024  # of all tables together; those not used for longest are removed
TABLE_MAX_BYTES: Final = 16 * 1024 * 1024
_SCHEMA: Final = "limosa.ranges/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationCache:
    folder: Path
    max_bytes: int = MAX_BYTES

    @classmethod
    def of_user(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """`limosa/calibration` under XDG_CACHE_HOME, or under ~/.cache."""
        base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return cls(folder=Path(base) / "limosa" / "calibration")

    def table(self, key: str, compute: Callable[[], RangeTable]) -> tuple[RangeTable, bool]:
        """(the table, whether it was there)."""
        path = self.folder / f"{key}.json"
        found = _read(path, key)
        if found is not None:
            return found, True
        made = compute()
        self._write(path, key, made)
        return made, False

    def _write(self, path: Path, key: str, table: RangeTable) -> None:
        data = encode_canonical(
            {"schema": _SCHEMA, "key": key, "digest": table.digest, "table": table.as_json()}
        )
        if len(data) > min(TABLE_MAX_BYTES, self.max_bytes):
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with written_at_once(path) as stream:
                stream.write(data)
            self._shrink(keep=path)
        except OSError:
            return  # a full or read-only disk costs the next build time, not this one its result

    def _shrink(self, *, keep: Path) -> None:
        files = [(path.stat().st_mtime_ns, path.name, path) for path in self.folder.glob("*.json")]
        total = sum(path.stat().st_size for _, _, path in files)
        for _, _, path in sorted(files):
            if total <= self.max_bytes:
                return
            if path != keep:
                total -= path.stat().st_size
                path.unlink(missing_ok=True)


def key_of(prepared: onnx.ModelProto, data_digest: str) -> str:
    """64 hex digits over all that a table depends on: model, data, rules, versions."""
    facts = {
        "model": sha256(prepared.SerializeToString(deterministic=True)).hexdigest(),
        "data": data_digest,
        "version": VERSION,
        "bins": HISTOGRAM_BINS,
        "values_per_row": VALUES_PER_ROW,
        "shares": dict(SHARES),
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
    }
    return sha256(encode_canonical(facts)).hexdigest()


def _read(path: Path, key: str) -> RangeTable | None:
    try:
        if path.stat().st_size > TABLE_MAX_BYTES:
            return None
        document = parse_object(path.read_bytes(), what="ranges", max_bytes=TABLE_MAX_BYTES)
        fields = Fields(document, where=path.name)
        fields.schema(_SCHEMA)
        table = RangeTable.parse(fields.fields("table"))
        if fields.text("key") != key or fields.text("digest") != table.digest:
            return None
        path.touch()
    except (OSError, InvalidJson, InvalidField, TooLarge):
        return None
    return table

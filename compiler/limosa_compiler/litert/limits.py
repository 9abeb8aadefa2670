"""What the toolchain's processes may cost; each limit with its unit and reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class LitertLimits:
    python_min: tuple[int, int] = (3, 12)  # onnx2tf's own bound
    probe_s: float = 20.0  # to say its version; a shim that hangs is no Python
    install_s: float = 1800.0  # some 110 MB are downloaded
    start_s: float = 120.0  # imports, on a slow disk read for the first time
    convert_s: float = 900.0  # one model
    quantize_s: float = 1800.0  # one model, all rungs
    run_s: float = 180.0  # one batch
    cpu_s: int = 7200  # one process in all
    memory_bytes: int = 8 * 1024**3  # address space of one process
    memory_per_model_byte: int = 24  # the converter holds the model in several forms at once
    file_bytes: int = 4 * 1024**3  # largest file a process may write
    head_max_bytes: int = 4 * 1024**2
    answer_max_bytes: int = 2 * 1024**3
    batch_rows: int = 64  # rows per question: bounds what lies in a pipe
    verify_rows: int = 32  # on which a conversion is compared with ONNX


LIMITS: Final = LitertLimits()

"""The worker: answers one question after the other, on pipes, until the other side has gone.

    python worker.py MEMORY_BYTES CPU_S FILE_BYTES

A question is {"ask": …} with arrays, an answer {"ok": true, …} with arrays, or {"ok": false, "why": …}.
"""

from __future__ import annotations

import os
import resource
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

if TYPE_CHECKING:
    from limosa_compiler.litert.environment import interpreting, wire
else:
    import interpreting
    import wire

Answer: TypeAlias = tuple[dict[str, Any], dict[str, Any]]
_LOADED: dict[str, interpreting.Model] = {}


def load(head: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    _LOADED["model"] = model = interpreting.Model(arrays["model"].tobytes())
    return model.signature(), {}


def run(head: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    return {}, _LOADED["model"].run(arrays)


def time_once(head: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    return {"seconds": _LOADED["model"].time_once(arrays)}, {}


def convert(head: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    if TYPE_CHECKING:
        from limosa_compiler.litert.environment import converting
    else:
        import converting

    return converting.convert(
        arrays["model"].tobytes(), folder=head["folder"], keep=head["keep"], names=head["names"]
    )


def quantize(head: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    if TYPE_CHECKING:
        from limosa_compiler.litert.environment import quantizing
    else:
        import quantizing

    return quantizing.quantize(
        arrays["model"].tobytes(), folder=head["folder"], parts=head["parts"], rungs=head["rungs"]
    )


ANSWERS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Answer]] = {
    "load": load,
    "run": run,
    "time": time_once,
    "convert": convert,
    "quantize": quantize,
}


def limit(memory_bytes: int, cpu_s: int, file_bytes: int) -> None:
    """Before any library is imported: what it maps counts as well."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answers_only() -> BinaryIO:
    """Where answers go. Whatever a library prints goes to stderr from now on."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return out


def main() -> int:
    out = answers_only()
    warnings.simplefilter("ignore")
    while (message := wire.read_message(sys.stdin.buffer)) is not None:
        head, arrays = message
        try:
            said, given = ANSWERS[head["ask"]](head, arrays)
        except MemoryError:
            wire.write_message(out, {"ok": False, "why": "it needs more memory than it may have"}, {})
        except Exception as error:  # noqa: BLE001  # the process's outermost frame: libraries raise anything
            wire.write_message(out, {"ok": False, "why": wire.short(error)}, {})
        else:
            wire.write_message(out, {"ok": True, **said}, given)
    return 0


if __name__ == "__main__":
    limit(*(int(word) for word in sys.argv[1:4]))
    sys.exit(main())

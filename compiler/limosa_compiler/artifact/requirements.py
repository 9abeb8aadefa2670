"""What a device must have for a variant (agent 2.1), from the profile and the model itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from limosa_compiler.search.candidate import ONNXRUNTIME
from limosa_contracts.oci import Requirements
from limosa_contracts.profiles import Profile

_RUNTIME_OF_OPSET: Final[Mapping[int, str]] = {17: "1.12", 18: "1.14", 19: "1.16", 20: "1.17", 21: "1.18"}
_RUNTIME_OF_IR: Final[Mapping[int, str]] = {8: "1.12", 9: "1.16", 10: "1.18"}
"""onnxruntime's compatibility table: the first version that loads an operator set or IR version."""
_MEMORY_FIXED_BYTES: Final = 64 * 1024**2  # runtime and arena of a small model
_MEMORY_PER_BYTE: Final = 4  # of the model: file, initializers, packed weights, activations


def requirements_for(
    profile: Profile,
    *,
    opset: int,
    ir: int,
    model_bytes: int,
    files_bytes: int,
    runtime: str = ONNXRUNTIME,
    runtime_tested: str = "",
) -> Requirements:
    """No accelerator is asked for, whatever the profile has: variants run on the CPU provider.

    An .onnx file says by opset and IR from which version on it runs. A .tflite file says nothing, and older
    runtimes answer wrongly without an error: the version on which golden vectors passed is the least that is
    asked for (compiler 3, 4).
    """
    needs = [need.min_version for need in profile.runtimes if need.name == runtime]
    if runtime == ONNXRUNTIME:
        needs += [_RUNTIME_OF_OPSET[opset], _RUNTIME_OF_IR[ir]]
    elif runtime_tested:
        needs.append(runtime_tested)
    return Requirements(
        architectures=profile.architectures,
        cpu_features=profile.cpu_features,
        runtime=runtime,
        runtime_min=latest(needs),
        memory_bytes=_MEMORY_FIXED_BYTES + _MEMORY_PER_BYTE * model_bytes,
        disk_bytes=2 * files_bytes,  # the download, and the installed copy
    )


def latest(versions: Iterable[str]) -> str:
    """
    >>> latest(["1.9", "1.17", "1.12"])
    '1.17'
    """
    return max(versions, key=lambda text: tuple(int(part) for part in text.split(".")))


def best_first(profiles: Iterable[Profile]) -> tuple[Profile, ...]:
    """The order in which devices try variants: those that ask for more come first."""
    return tuple(sorted(profiles, key=lambda profile: -len(profile.cpu_features)))

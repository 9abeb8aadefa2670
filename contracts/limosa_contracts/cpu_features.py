"""The few CPU features that decide between variants, by one name on every architecture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

FLAGS_OF_FEATURE: Final[Mapping[str, tuple[str, ...]]] = {
    "avx2": ("avx2",),
    "vnni": ("avx512_vnni", "avx_vnni"),  # int8 dot products without saturating 16 bit sums
    "neon": ("neon", "asimd"),
    "dotprod": ("asimddp",),
    "fp16": ("asimdhp", "avx512_fp16"),
}
"""Feature -> flags of /proc/cpuinfo ("flags" or "Features"), any of which means it."""


def features_of_flags(flags: Iterable[str]) -> frozenset[str]:
    """
    >>> sorted(features_of_flags(["fpu", "avx2", "avx_vnni"]))
    ['avx2', 'vnni']
    """
    present = frozenset(flags)
    return frozenset(name for name, any_of in FLAGS_OF_FEATURE.items() if present.intersection(any_of))

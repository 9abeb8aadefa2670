"""Which variant of a release this device runs: the first it can, in the compiler's order (agent 2.1).

Pure: what the device has comes in as values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from limosa_agent.fetch.errors import NoFittingVariant
from limosa_agent.fetch.rules import version_order
from limosa_contracts.errors import InvalidArtifact
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.oci import (
    REQUIRES_ANNOTATION,
    VARIANT_ANNOTATION,
    Descriptor,
    ImageIndex,
    Requirements,
)

LITERT: Final = "litert"
OLDER_LITERT: Final = "tflite"  # tflite-runtime, whose versions count on other numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a device has. 0 bytes of memory or disk means that it could not be measured."""

    arch: str  # as `platform.machine()`
    cpu_features: frozenset[str] = frozenset()
    runtimes: Mapping[str, str] = field(default_factory=dict)  # name -> version
    accelerators: frozenset[str] = frozenset()
    memory_bytes: int = 0  # free now where the device says so, else in all
    disk_free_bytes: int = 0

    @classmethod
    def parse(cls, value: JsonValue, *, disk_free_bytes: int) -> Self:
        """From `capabilities` as the device reports them; free disk is measured when it is needed."""
        fields = Fields(value, where="capabilities")

        def size(name: str) -> int:
            return fields.integer(name, low=0)

        nothing: dict[str, str] = {}
        none: tuple[str, ...] = ()
        return cls(
            arch=fields.text("arch", max_chars=64),
            cpu_features=frozenset(fields.optional("cpu_features", fields.texts, none)),
            runtimes=fields.optional("runtimes", fields.text_map, nothing),
            accelerators=frozenset(fields.optional("accelerators", fields.texts, none)),
            memory_bytes=fields.optional("memory_free_bytes", size, 0)
            or fields.optional("memory_bytes", size, 0),
            disk_free_bytes=disk_free_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    variant: str
    descriptor: Descriptor
    requirements: Requirements


def choose_variant(index: ImageIndex, device: Capabilities) -> Choice:
    """Raises NoFittingVariant with the first requirement that each variant fails, InvalidArtifact."""
    refused: dict[str, JsonValue] = {}
    for i, descriptor in enumerate(index.manifests):
        name = descriptor.annotations.get(VARIANT_ANNOTATION, "")
        requires = descriptor.annotations.get(REQUIRES_ANNOTATION, "")
        if not name or not requires:
            raise InvalidArtifact("a variant has no name or no requirements", where=f"index.manifests[{i}]")
        requirements = Requirements.parse(requires)
        failed = next(unmet(requirements, device), "")
        if not failed:
            return Choice(variant=name, descriptor=descriptor, requirements=requirements)
        refused[name] = failed
    raise NoFittingVariant(
        "no variant of the release fits this device",
        where="index.manifests",
        why="; ".join(f"{name}: {failed}" for name, failed in refused.items())[:1000] or "it has none",
        evidence={"variants": refused},
    )


def unmet(requirements: Requirements, device: Capabilities) -> Iterator[str]:
    """What the device lacks, in words, the most telling first."""
    if requirements.architectures and device.arch not in requirements.architectures:
        yield f"architecture {' or '.join(requirements.architectures)} is needed, this is {device.arch}"
    if missing := set(requirements.cpu_features) - device.cpu_features:
        yield f"CPU features {', '.join(sorted(missing))} are missing"
    if missing := set(requirements.accelerators) - device.accelerators:
        yield f"accelerators {', '.join(sorted(missing))} are missing"
    yield from _runtime(requirements, device)
    if 0 < device.memory_bytes < requirements.memory_bytes:
        yield f"{requirements.memory_bytes} bytes of memory are needed, {device.memory_bytes} are there"
    if 0 < device.disk_free_bytes < requirements.disk_bytes:
        yield f"{requirements.disk_bytes} bytes of disk are needed, {device.disk_free_bytes} are free"


def _runtime(requirements: Requirements, device: Capabilities) -> Iterator[str]:
    version = device.runtimes.get(requirements.runtime)
    if version is None and requirements.runtime == LITERT and OLDER_LITERT in device.runtimes:
        version = "0"  # agent 5.3: it runs .tflite files too, and is older than any LiteRT
    if version is None:
        have = ", ".join(sorted(device.runtimes)) or "none"
        yield f"runtime {requirements.runtime} is needed, this device has {have}"
    elif requirements.runtime_min and version_order(version) < version_order(requirements.runtime_min):
        yield f"{requirements.runtime} {requirements.runtime_min} is needed, this is {version}"

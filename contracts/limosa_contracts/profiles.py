"""Device profiles: what a kind of device has and what pays on it (compiler 5).

A package that brings profiles names a module in the entry-point group `limosa.profiles`; every
`*.toml` beside that module is one profile.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Final, Self, cast

from limosa_contracts.cpu_features import FLAGS_OF_FEATURE
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import NAME

SCHEMA: Final = "limosa.profile/1"
GROUP: Final = "limosa.profiles"
ARCHITECTURES: Final = ("x86_64", "aarch64", "armv7l")
PRECISIONS: Final = ("int4", "int8", "fp16", "fp32")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeNeed:
    """A runtime that runs there, from which version on."""

    name: str
    min_version: str
    execution_providers: tuple[str, ...]

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        need = cls(
            name=fields.choice("name", ("onnxruntime", "litert")),
            min_version=fields.text("min_version", max_chars=32),
            execution_providers=fields.optional("execution_providers", fields.texts, ()),
        )
        fields.refuse_rest()
        return need

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "min_version": self.min_version,
            "execution_providers": list(self.execution_providers),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileLimits:
    """What a variant may cost there; 0 sets no limit."""

    artifact_bytes: int = 0
    memory_bytes: int = 0
    latency_ms: float = 0.0

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        limits = cls(
            artifact_bytes=fields.optional("artifact_bytes", lambda n: fields.integer(n, low=0), 0),
            memory_bytes=fields.optional("memory_bytes", lambda n: fields.integer(n, low=0), 0),
            latency_ms=fields.optional("latency_ms", lambda n: fields.number(n, low=0), 0.0),
        )
        fields.refuse_rest()
        return limits

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "artifact_bytes": self.artifact_bytes,
            "memory_bytes": self.memory_bytes,
            "latency_ms": self.latency_ms,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """`precisions` are those that may be chosen, `cpu_features` those every such device has."""

    name: str
    title: str
    architectures: tuple[str, ...]
    cpu_features: tuple[str, ...]
    accelerators: tuple[str, ...]
    cores: int
    memory_bytes: int
    storage_bytes: int  # 0: whatever is plugged in
    runtimes: tuple[RuntimeNeed, ...]
    precisions: tuple[str, ...]
    limits: ProfileLimits
    source: Mapping[str, str]  # figure -> where it is from

    @classmethod
    def parse(cls, text: str, *, where: str) -> Self:
        """From TOML. Raises InvalidField, naming an unknown key's nearest."""
        try:
            document = cast("dict[str, JsonValue]", tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise InvalidField("a profile is not valid TOML", where=where, why=str(error)) from error
        fields = Fields(document, where=where)
        fields.schema(SCHEMA)
        profile = cls(
            name=fields.text("name", pattern=NAME),
            title=fields.text("title", max_chars=200),
            architectures=_some(fields, "architectures", ARCHITECTURES),
            cpu_features=_each_of(fields, "cpu_features", tuple(FLAGS_OF_FEATURE)),
            accelerators=fields.optional("accelerators", fields.texts, ()),
            cores=fields.integer("cores", low=1, high=4096),
            memory_bytes=fields.integer("memory_bytes", low=1),
            storage_bytes=fields.integer("storage_bytes", low=0),
            runtimes=tuple(
                RuntimeNeed.parse(item, where=place) for place, item in fields.items("runtimes", max_items=8)
            ),
            precisions=_some(fields, "precisions", PRECISIONS),
            limits=fields.optional(
                "limits", lambda n: ProfileLimits.parse(fields.fields(n)), ProfileLimits()
            ),
            source=fields.text_map("source"),
        )
        fields.refuse_rest()
        return profile

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "schema": SCHEMA,
            "name": self.name,
            "title": self.title,
            "architectures": list(self.architectures),
            "cpu_features": list(self.cpu_features),
            "accelerators": list(self.accelerators),
            "cores": self.cores,
            "memory_bytes": self.memory_bytes,
            "storage_bytes": self.storage_bytes,
            "runtimes": [runtime.as_json() for runtime in self.runtimes],
            "precisions": list(self.precisions),
            "limits": self.limits.as_json(),
            "source": dict(self.source),
        }


@cache
def load_profiles() -> Mapping[str, Profile]:
    """Every installed profile by its name, in the order of names. Raises InvalidField."""
    found: dict[str, Profile] = {}
    for entry in entry_points(group=GROUP):
        for file in sorted(files(entry.value).iterdir(), key=lambda item: item.name):
            if not file.name.endswith(".toml"):
                continue
            profile = Profile.parse(file.read_text(encoding="utf-8"), where=file.name)
            if f"{profile.name}.toml" != file.name or profile.name in found:
                raise InvalidField("a profile's name is its file's, and occurs once", where=file.name)
            found[profile.name] = profile
    return dict(sorted(found.items()))


def _each_of(fields: Fields, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    values = fields.texts(name)
    for value in values:
        if value not in known:
            raise fields.wrong(name, f"{value!r} is none of {', '.join(known)}")
    return values


def _some(fields: Fields, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    values = _each_of(fields, name, known)
    if not values:
        raise fields.wrong(name, "at least one is needed")
    return values

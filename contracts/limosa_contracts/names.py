"""Names of teams, models, versions, devices and groups, and what may be in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from limosa_contracts.errors import InvalidField
from limosa_contracts.limits import LIMITS

_INNER: Final = LIMITS.name_max_chars - 2  # between the first character and the last
_INNER_VALUE: Final = LIMITS.label_value_max_chars - 2
NAME: Final = re.compile(rf"[a-z0-9](?:[a-z0-9._-]{{0,{_INNER}}}[a-z0-9])?")
"""Teams, models, groups, device ids: also valid in a topic, a path, a URL and a TUF role name."""
VERSION: Final = re.compile(
    r"(?:0|[1-9][0-9]{0,8})\.(?:0|[1-9][0-9]{0,8})\.(?:0|[1-9][0-9]{0,8})(?:-[0-9A-Za-z.-]{1,32})?"
)
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
SHA256_HEX: Final = re.compile(r"[0-9a-f]{64}")
LABEL_KEY: Final = re.compile(rf"[A-Za-z0-9](?:[A-Za-z0-9._/-]{{0,{_INNER}}}[A-Za-z0-9])?")
LABEL_VALUE: Final = re.compile(rf"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,{_INNER_VALUE}}}[A-Za-z0-9])?)?")
MODEL: Final = re.compile(rf"{NAME.pattern}/{NAME.pattern}")


def check_name(text: str, *, what: str) -> str:
    """The text, if it may name a team, model, group or device. Raises InvalidField."""
    if not NAME.fullmatch(text):
        raise InvalidField(
            f"{what} {text[:80]!r} is not a valid name",
            where=what,
            why=f"1 to {LIMITS.name_max_chars} of a-z 0-9 . _ -, beginning and ending with a letter or digit",
        )
    return text


@dataclass(frozen=True, slots=True, order=True)
class ModelName:
    """`team/model`."""

    team: str
    model: str

    def __str__(self) -> str:
        return f"{self.team}/{self.model}"

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Raises InvalidField.

        >>> str(ModelName.parse("vision/detector"))
        'vision/detector'
        """
        if not MODEL.fullmatch(text):
            raise InvalidField(f"{text[:160]!r} is not a model name", where="model", why="write team/model")
        team, model = text.split("/")
        return cls(team, model)


@dataclass(frozen=True, slots=True, order=True)
class ReleaseName:
    """`team/model@version`."""

    name: ModelName
    version: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def target_path(self) -> str:
        """The TUF target of this release (trust 2.1)."""
        return f"{self.name.team}/{self.name.model}/{self.version}/index.json"

    @classmethod
    def parse(cls, text: str) -> ReleaseName:
        """Raises InvalidField.

        >>> ReleaseName.parse("vision/detector@1.2.0").target_path
        'vision/detector/1.2.0/index.json'
        """
        model, at, version = text.partition("@")
        if not at:
            raise InvalidField(
                f"{text[:160]!r} is not a release", where="release", why="write team/model@version"
            )
        return cls(ModelName.parse(model), check_version(version))


def check_version(text: str) -> str:
    """The text, if it is a version `MAJOR.MINOR.PATCH[-pre]`. Raises InvalidField."""
    if not VERSION.fullmatch(text):
        raise InvalidField(
            f"{text[:80]!r} is not a version", where="version", why="write MAJOR.MINOR.PATCH, e.g. 1.4.0"
        )
    return text

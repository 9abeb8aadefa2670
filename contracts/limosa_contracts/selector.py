"""Label selectors in Kubernetes' grammar: `site in (lab,hq),tier!=dev,gpu,!old`.

Source of the grammar: Kubernetes, "Labels and Selectors", equality-based and set-based requirements.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from limosa_contracts.errors import InvalidSelector
from limosa_contracts.names import LABEL_KEY, LABEL_VALUE

SELECTOR_MAX_CHARS: Final = 2048  # what fits into one line of a rollout file, with room
REQUIREMENTS_MAX: Final = 64  # each is a condition of its own where a database selects
_TOKEN: Final = re.compile(r"\s*(?:(?P<word>[A-Za-z0-9._/-]+)|(?P<sign>==|!=|[=!(),]))")
_HINT: Final = "write for example: site in (lab,hq),tier!=dev,gpu,!old"


class Operator(Enum):
    IN = "in"
    """The label is there and has one of the values; `k=v` is `k in (v)`."""
    NOT_IN = "notin"
    """The label is missing, or has none of the values; `k!=v` is `k notin (v)`."""
    EXISTS = "exists"
    MISSING = "!"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return self.key not in labels or labels[self.key] not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.MISSING:
                return self.key not in labels

    def __str__(self) -> str:
        if self.operator is Operator.EXISTS:
            return self.key
        if self.operator is Operator.MISSING:
            return f"!{self.key}"
        if len(self.values) == 1:
            return f"{self.key}{'=' if self.operator is Operator.IN else '!='}{self.values[0]}"
        return f"{self.key} {self.operator.value} ({','.join(self.values)})"


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold. `str()` gives the canonical text, which parses to an equal one."""

    requirements: tuple[Requirement, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """
        >>> Selector.parse("site in (lab,hq),!old").matches({"site": "hq"})
        True
        """
        return all(requirement.holds(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)

    @classmethod
    def parse(cls, text: str, *, where: str = "selector") -> Selector:
        """Raises InvalidSelector with the position. An empty text is refused, lest it mean everyone.

        >>> str(Selector.parse("site in (hq, lab), tier != dev, gpu"))
        'site in (hq,lab),tier!=dev,gpu'
        """
        if len(text) > SELECTOR_MAX_CHARS:
            raise InvalidSelector(
                "the selector is too long", where=where, why=f"at most {SELECTOR_MAX_CHARS} characters"
            )
        reader = _Reader(text, where)
        requirements = [reader.requirement()]
        while not reader.at_end():
            reader.sign(",")
            requirements.append(reader.requirement())
            if len(requirements) > REQUIREMENTS_MAX:
                raise InvalidSelector(
                    "the selector has too many parts", where=where, why=f"at most {REQUIREMENTS_MAX}"
                )
        return cls(tuple(requirements))


class _Reader:
    """Tokens of one text, with their positions."""

    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._next = 0
        self._tokens: list[tuple[str, int]] = []
        end = len(text.rstrip())
        at = 0
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None:
                at += len(text[at:]) - len(text[at:].lstrip())
                raise self._wrong(f"{text[at]!r} has no place here", at)
            self._tokens.append(
                (found.group("word") or found.group("sign"), found.start(found.lastgroup or 0))
            )
            at = found.end()
        self._end = end

    def _wrong(self, why: str, at: int) -> InvalidSelector:
        return InvalidSelector(
            "the selector does not parse", where=f"{self._where}, character {at + 1}", why=why, hint=_HINT
        )

    def at_end(self) -> bool:
        return self._next == len(self._tokens)

    def _peek(self) -> str:
        return "" if self.at_end() else self._tokens[self._next][0]

    def _take(self) -> tuple[str, int]:
        if self.at_end():
            raise self._wrong("it ends too early", self._end)
        self._next += 1
        return self._tokens[self._next - 1]

    def sign(self, *wanted: str) -> str:
        token, at = self._take()
        if token not in wanted:
            raise self._wrong(f"{' or '.join(wanted)} is needed, not {token!r}", at)
        return token

    def _matching(self, pattern: re.Pattern[str], what: str) -> str:
        token, at = self._take()
        if not pattern.fullmatch(token):
            raise self._wrong(f"{token[:80]!r} is not a {what}", at)
        return token

    def requirement(self) -> Requirement:
        if self._peek() == "!":
            self._take()
            return Requirement(key=self._matching(LABEL_KEY, "label's name"), operator=Operator.MISSING)
        key = self._matching(LABEL_KEY, "label's name")
        match self._peek():
            case "" | ",":
                return Requirement(key=key, operator=Operator.EXISTS)
            case "in" | "notin":
                operator = Operator(self._take()[0])
                return Requirement(key=key, operator=operator, values=self._values())
            case _:
                sign = self.sign("=", "==", "!=", ",")
                value = self._matching(LABEL_VALUE, "label's value")
                operator = Operator.NOT_IN if sign == "!=" else Operator.IN
                return Requirement(key=key, operator=operator, values=(value,))

    def _values(self) -> tuple[str, ...]:
        self.sign("(")
        values = [self._matching(LABEL_VALUE, "label's value")]
        while self.sign(",", ")") == ",":
            values.append(self._matching(LABEL_VALUE, "label's value"))
        return tuple(sorted(set(values)))
